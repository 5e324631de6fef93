"""Files of a published archive, read from the tar file or from the folder to which it was extracted."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum

SUFFIXES = (".tgz", ".tar.gz", ".tar")


class Tree(Protocol):
    """Give access to files by their names below one folder, such as "images/001.jpg"; hidden files are left out."""

    @property
    def path(self) -> Path:
        """Return the path of the folder or of the archive, for messages."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all files."""
        ...

    def contents(self) -> Mapping[str, Any]:
        """Return what identifies the files, without decoding a picture."""
        ...

    def text(self, name: str) -> str:
        """Return the text of a small file that was named when the tree was opened.

        Raises:
            UserError: when the file is missing or is not UTF-8.
        """
        ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of those files that exist, in the order that is fastest to read."""
        ...


def open_tree(root: Path, name: str, archive: str, texts: Collection[str]) -> Tree:
    """Open the folder `name` of `root`, or `root` itself if it has that name, or else the archive with that folder.

    Args:
        root: folder that holds the official files.
        name: name of the folder inside the archive.
        archive: official file name of the archive without .tgz, .tar.gz or .tar.
        texts: names of the small files that `Tree.text` will return.

    Returns:
        A `Folder` or a `Tarball`.

    Raises:
        UserError: when neither the folder nor the archive exists.
    """
    for folder in (root / name, root):
        if folder.name == name and folder.is_dir():
            return Folder(folder)
    for suffix in SUFFIXES:
        path = root / f"{archive}{suffix}"
        if path.is_file():
            return Tarball(path, name, frozenset(texts))
    raise UserError(
        f"root={root} should hold {archive}.tgz or the folder {name} from inside it, and holds neither: "
        "set root to the folder with the official files"
    )


@dataclass(frozen=True)
class Folder:
    """Read files of an extracted archive.

    Args:
        path: the folder.
    """

    path: Path

    @cached_property
    def names(self) -> frozenset[str]:
        """Return the names of all files below the folder."""
        paths = (p.relative_to(self.path) for p in self.path.rglob("*") if p.is_file())
        return frozenset(path.as_posix() for path in paths if not _hidden(path))

    def contents(self) -> Mapping[str, Any]:
        """Return a hash of the names, sizes and modification times of all files."""
        stats = [(name, (self.path / name).stat()) for name in sorted(self.names)]
        listing = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return {"files": hashlib.sha256(json.dumps(listing).encode()).hexdigest()}

    def text(self, name: str) -> str:
        """Return the text of a small file."""
        if name not in self.names:
            raise _missing(self.path, name)
        return _decoded(self.path / name, (self.path / name).read_bytes())

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order of `names`."""
        for name in names:
            if name in self.names:
                yield name, (self.path / name).read_bytes()


@dataclass(frozen=True)
class Tarball:
    """Read files inside a tar archive, compressed or not.

    Nothing is extracted to disk. Each call of `read` is one pass over the archive.

    Args:
        path: the archive.
        within: folder of the archive that holds the files.
        texts: names of the small files whose text the first pass keeps.
    """

    path: Path
    within: str
    texts: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all files of that folder."""
        return self._scanned[0]

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the archive."""
        return {"archive": checksum(self.path)}

    def text(self, name: str) -> str:
        """Return the text of a small file."""
        if name not in self._scanned[1]:
            raise _missing(self.path, f"{self.within}/{name}")
        return self._scanned[1][name]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order of the archive."""
        wanted = frozenset(names)
        with self._opened() as tar:
            for name, member in self._members(tar):
                if name in wanted:
                    yield name, _bytes(tar, member)

    @cached_property
    def _scanned(self) -> tuple[frozenset[str], dict[str, str]]:
        names: set[str] = set()
        texts: dict[str, str] = {}
        with self._opened() as tar:
            for name, member in self._members(tar):
                if name in names:
                    raise UserError(f"{self.path} holds {member.name} twice: replace it by a fresh copy")
                names.add(name)
                if name in self.texts:
                    texts[name] = _decoded(self.path / member.name, _bytes(tar, member))
        return frozenset(names), texts

    def _members(self, tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise UserError(
                    f"{self.path} holds a file outside its own folder, {member.name}: it is not the official archive, "
                    "replace it"
                )
            if member.isfile() and path.is_relative_to(self.within) and not _hidden(path):
                yield path.relative_to(self.within).as_posix(), member

    @contextmanager
    def _opened(self) -> Iterator[tarfile.TarFile]:
        try:
            with tarfile.open(self.path) as tar:
                yield tar
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            # tarfile adds a line for every compression that it tried, so keep the first line alone
            reason = str(error).partition(":\n")[0]
            raise UserError(f"{self.path} cannot be read ({reason}): replace it by a fresh copy") from error


def _hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} should be UTF-8 text, and is not ({error}): replace it by the official file"
        ) from error


def _missing(path: Path, name: str) -> UserError:
    return UserError(
        f"{path} should hold {name}, and does not: extract the official archive again, or download a fresh copy"
    )
