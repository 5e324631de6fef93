"""Files that are mapped into memory: room in them, their checksums, and whether they are still the same."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum

SETTLED = 2 * 10**9  # nanoseconds; clocks of file systems tick far more often


@dataclass(frozen=True)
class MappedFile:
    """Hold what a file looked like when it was mapped.

    Attributes:
        path: the file.
        size: its bytes.
        changed: when it was last written, in nanoseconds.
        inode: its number on its disk.
    """

    path: Path
    size: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> MappedFile:
        """Return what a file looks like now."""
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)

    @property
    def settled(self) -> bool:
        """Return whether a later change of the file would show in its time.

        A file that was written a moment ago may be written again within the same tick of the clock.
        """
        return time.time_ns() - self.changed > SETTLED

    def check(self) -> None:
        """Refuse a file that was written to after it was mapped.

        A file that was deleted or replaced is whole as long as it is mapped. One that was written to gives other rows,
        and the system kills a process that reads behind the end of one that shrank.

        Raises:
            UserError: the file has another size or another time than when it was mapped.
        """
        try:
            stat = self.path.stat()
        except OSError:
            return
        if stat.st_ino == self.inode and (stat.st_size, stat.st_mtime_ns) != (self.size, self.changed):
            what = f"shrank from {self.size} to {stat.st_size} bytes" if stat.st_size < self.size else "was written to"
            raise UserError(
                f"{self.path} {what} while this run read it, so its rows are no longer those that the run began with. "
                "What is in the ledger is whole: let nothing else write to that file, and give the same command again"
            )


def offset_in(file: MappedFile, address: int) -> int | None:
    """Return at which byte of a file something lies that is mapped from it.

    Args:
        file: what the file looked like when it was mapped.
        address: where it lies in the memory of this process.

    Returns:
        The byte; None where another file lies there, where the file was replaced since, and on systems without /proc.
    """
    try:
        if file.path.stat().st_ino != file.inode:
            return None
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        span, _, offset, _, inode = line.split(maxsplit=5)[:5]
        begin, end = (int(number, 16) for number in span.split("-"))
        if begin <= address < end:
            return int(offset, 16) + address - begin if int(inode) == file.inode else None
    return None


def checksum_once(path: Path) -> str:
    """Return SHA-256, in hex, of a file; a file that has not changed since is read once in a process."""
    file = MappedFile.of(path)
    return _checksum(file) if file.settled else checksum(path)


@lru_cache(maxsize=2**16)
def _checksum(file: MappedFile) -> str:
    return checksum(file.path)


def reserve(file: int, size: int) -> None:
    """Give a file its size, and the room for it on the disk.

    A mapped file without that room would end the process, not with an error, where the disk is full.

    Args:
        file: the descriptor of an open file.
        size: its bytes.

    Raises:
        OSError: the disk is full.
    """
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:  # because some systems have no such call
        os.truncate(file, size)


def scratch(folder: Path, size: int) -> mmap.mmap:
    """Return zeros that lie in a file without a name, mapped; the file is gone once nothing holds them.

    Args:
        folder: the folder on whose disk the file lies.
        size: bytes, 1 or more.

    Raises:
        OSError: the disk is full.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve(file.fileno(), size)
        return mmap.mmap(file.fileno(), size)
