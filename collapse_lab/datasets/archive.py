"""Files of a published archive, read from the tar file or from the folder to which it was extracted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Protocol

from collapse_lab.errors import UserError
from collapse_lab.storage.archives import content, members, open_tar
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
        with open_tar(self.path) as tar:
            for path, member in members(tar, self.path):
                name = self._name(path)
                if name in wanted:
                    yield name, content(tar, member)

    @cached_property
    def _scanned(self) -> tuple[frozenset[str], dict[str, str]]:
        names: set[str] = set()
        texts: dict[str, str] = {}
        with open_tar(self.path) as tar:
            for path, member in members(tar, self.path):
                name = self._name(path)
                if not name:
                    continue
                if name in names:
                    raise UserError(f"{self.path} holds {member.name} twice: replace it by a fresh copy")
                names.add(name)
                if name in self.texts:
                    texts[name] = _decoded(self.path / member.name, content(tar, member))
        return frozenset(names), texts

    def _name(self, path: PurePath) -> str:
        """Return the name below the folder that is read, "" for a file elsewhere and for a hidden file."""
        is_ours = path.is_relative_to(self.within) and not _hidden(path)
        return path.relative_to(self.within).as_posix() if is_ours else ""


def _hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


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
