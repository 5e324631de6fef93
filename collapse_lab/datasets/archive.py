"""The files of a published archive, read where they lie: inside the tar, or in the folder it was unpacked to."""

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
    """Files by their names below one folder, "images/001.jpg"; hidden ones do not count.

    path: of the folder or the archive, for messages.
    """

    @property
    def path(self) -> Path: ...
    @property
    def names(self) -> frozenset[str]: ...
    def contents(self) -> Mapping[str, Any]:
        """What identifies the files, without decoding a picture."""
        ...

    def text(self, name: str) -> str:
        """A small file that was announced when the tree was opened. Raises UserError where it is missing."""
        ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Those of the files that are there, in whatever order is quickest."""
        ...


def open_tree(root: Path, name: str, archive: str, texts: Collection[str]) -> Tree:
    """The folder `name` of `root`, or `root` itself if it is called so, or else the archive that holds that folder.

    archive: its official file name without .tgz, .tar.gz or .tar.  texts: the small files that `text` will give.
    Raises UserError where none of them is there.
    """
    for folder in (root / name, root):
        if folder.name == name and folder.is_dir():
            return Folder(folder)
    for suffix in SUFFIXES:
        path = root / f"{archive}{suffix}"
        if path.is_file():
            return Tarball(path, name, frozenset(texts))
    raise UserError(
        f"root={root} should hold {archive}.tgz or the folder {name} that it unpacks to, and holds neither: point root "
        "to the folder with the official files"
    )


@dataclass(frozen=True)
class Folder:
    """A tree that is unpacked."""

    path: Path

    @cached_property
    def names(self) -> frozenset[str]:
        """All files below the folder."""
        found = (p.relative_to(self.path) for p in self.path.rglob("*") if p.is_file())
        return frozenset(name.as_posix() for name in found if not _hidden(name))

    def contents(self) -> Mapping[str, Any]:
        """A hash of the names, sizes and times of all of them."""
        stats = [(name, (self.path / name).stat()) for name in sorted(self.names)]
        listing = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return {"files": hashlib.sha256(json.dumps(listing).encode()).hexdigest()}

    def text(self, name: str) -> str:
        """A small file."""
        if name not in self.names:
            raise _missing(self.path, name)
        return _decoded(self.path / name, (self.path / name).read_bytes())

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """In the order asked for."""
        for name in names:
            if name in self.names:
                yield name, (self.path / name).read_bytes()


@dataclass(frozen=True)
class Tarball:
    """A tree inside a tar, compressed or not. Nothing is extracted: each reading is one pass over the archive.

    within: the folder of the archive that holds the tree.  texts: the small files kept from the first pass.
    """

    path: Path
    within: str
    texts: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """All files of the tree."""
        return self._scanned[0]

    def contents(self) -> Mapping[str, Any]:
        """The archive's SHA-256."""
        return {"archive": checksum(self.path)}

    def text(self, name: str) -> str:
        """A small file."""
        if name not in self._scanned[1]:
            raise _missing(self.path, f"{self.within}/{name}")
        return self._scanned[1][name]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """In the archive's order."""
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
            said = str(error).partition(":\n")[0]  # without a line for every compression that was tried
            raise UserError(f"{self.path} cannot be read ({said}): replace it by a fresh copy") from error


def _hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} should be a text, and is none ({error}): replace it by the official one") from error


def _missing(path: Path, name: str) -> UserError:
    return UserError(f"{path} should hold {name}, and does not: unpack the official archive again, or fetch it anew")
