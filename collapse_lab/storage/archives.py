"""Read members of tar and zip archives within bounds on their names, their number and their unpacked size.

Nothing is unpacked by the names that an archive gives: callers say which members they want, and where each goes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from collapse_lab.errors import UserError

# The largest archive that we read, CUB_200_2011, has 12,000 members of 1.2 GB together
MOST_MEMBERS = 200_000
LARGEST = 4 * 2**30  # bytes of an archive, unpacked
LARGEST_MEMBER = 2**30  # bytes of a member, unpacked

COMPRESSIONS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    RuntimeError,  # of a zip archive that is encrypted, and of a tar archive whose headers extend each other endlessly
)


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed or not; take its members from `members`, because they are checked there.

    Raises:
        UserError: the archive is damaged, or larger than the bounds; also where that shows inside the block.
    """
    try:
        with _tar(path) as tar:
            yield tar
    except (*DAMAGE, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): replace it by a fresh copy") from error


def members(tar: tarfile.TarFile, path: Path) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
    """Yield the name and the header of every regular file; links, folders and devices are left out.

    Args:
        tar: what `open_tar` opened.
        path: the archive, for messages.

    Raises:
        UserError: a name leaves the folder of the archive, or there are more members or bytes than the bounds.
    """
    total = 0
    for number, member in enumerate(tar, 1):
        total += member.size
        _check_bounds(path, number, total, member.size)
        name = _checked_name(path, member.name)
        if member.isfile():
            yield name, member


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of a member that `members` yielded."""
    file = tar.extractfile(member)
    return file.read() if file else b""


def copy_members(archive: Path, targets: Mapping[str, Path]) -> None:
    """Copy members of a tar or zip archive to files.

    Args:
        archive: a .whl or .zip file, or a tar archive.
        targets: name of the member -> the file that is written.

    Raises:
        UserError: a member is missing, the archive is damaged, or it is larger than the bounds.
    """
    missing = set(targets)
    opened = _zip_members(archive) if archive.suffix in (".whl", ".zip") else _tar_members(archive)
    try:
        for name, source in opened:
            if name in targets:
                with source, targets[name].open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                missing.discard(name)
    except DAMAGE as error:
        raise UserError(f"{archive.name} does not hold what it should ({error})") from error
    if missing:
        raise UserError(f"{archive.name} does not hold what it should ({', '.join(sorted(missing))})")


def copy_bounded(source: IO[bytes], target: Path, archive: Path) -> None:
    """Copy a stream to a file.

    Raises:
        UserError: the stream is longer than an archive may be.
    """
    total = 0
    with target.open("wb") as sink:
        while piece := source.read(2**20):
            total += len(piece)
            _check_bounds(archive, 0, total, 0)
            sink.write(piece)


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    with _uncompressed(path) as stream:
        bounded: Any = _Bounded(stream, path)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with _tar(archive) as tar:
        for name, member in members(tar, archive):
            file = tar.extractfile(member)
            if file is not None:
                yield name.as_posix(), file


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as zipped:
        total = 0
        for number, info in enumerate(zipped.infolist(), 1):
            total += info.file_size
            _check_bounds(archive, number, total, info.file_size)
            yield _checked_name(archive, info.filename).as_posix(), zipped.open(info)


def _check_bounds(path: Path, number: int, total: int, size: int) -> None:
    for count, most, what in (
        (number, MOST_MEMBERS, "members"),
        (total, LARGEST, "bytes when it is unpacked"),
        (size, LARGEST_MEMBER, "bytes in one member"),
    ):
        if count > most:
            raise UserError(f"{path} holds more than {most} {what}: it is not the official archive, replace it")
    if size < 0:
        raise UserError(f"{path} holds a member of {size} bytes: it is damaged, replace it by a fresh copy")


def _checked_name(path: Path, name: str) -> PurePosixPath:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise UserError(
            f"{path} holds a file outside its own folder, {name}: it is not the official archive, replace it"
        )
    return parts


def _uncompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        beginning = file.read(8)
    for mark, opener in COMPRESSIONS.items():
        if beginning.startswith(mark):
            stream: IO[bytes] = opener(path)
            return stream
    return path.open("rb")


class _Bounded:
    """Read a stream up to `LARGEST` bytes, and no more than `LARGEST_MEMBER` bytes at once.

    tarfile reads the long headers of an archive into memory before anybody else sees their size.
    """

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        _check_bounds(self._path, 0, self._stream.tell() + size, size)
        with _damage():
            return self._stream.read(size)

    def seek(self, offset: int) -> int:
        """Go to a place, counted from the beginning."""
        _check_bounds(self._path, 0, offset, 0)
        with _damage():
            return self._stream.seek(offset)

    def tell(self) -> int:
        """Return the present place."""
        return self._stream.tell()


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what gzip and bzip2 raise for damaged data, an OSError without a number, into an error of tarfile."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise tarfile.ReadError(str(error)) from error
