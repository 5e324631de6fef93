"""What has to hold on disk: a folder that takes files, a file that is whole, a change that survives a power cut."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from collapse_lab.errors import UserError
from collapse_lab.packing.turns import wait_until

log = logging.getLogger(__name__)


def make_folder(path: Path, knob: str) -> Path:
    """The folder, made if need be and known to take a file.

    Raises:
        UserError: it cannot be made or written to; the message names the `knob` that moves it.
    """
    probe = path / f".probe-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror}); give another folder with {knob}=…") from error
    return path


def disk_is_full(error: BaseException) -> bool:
    """Whether that is what an error says."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    # safetensors wraps the system's errors in its own, which keeps the number in its text alone
    return any(f"(os error {number})" in str(error) for number in full)


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that a reader, or a kill, finds the old text or the new and nothing between."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_text(text)
    sync(draft)
    draft.replace(path)


def checksum(path: Path) -> str:
    """SHA-256, in hex, of a file, or of the names and contents of all files below a folder."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for each in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{each.relative_to(path).as_posix()}\0{checksum(each)}\0".encode())
    return digest.hexdigest()


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Holds the lock at `path`; says whose `work` is waited for when another process holds it.

    The lock belongs to the operating system, so that of a dead process is free at once. Of cells that take turns in
    one process, the others go on while one waits.
    """
    lock = FileLock(path)
    if not wait_until(lambda: _taken(lock, 0), work) and not _taken(lock, 1):
        log.warning("waiting for another process that is computing %s", work)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock, timeout: float) -> bool:
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        return False
    return True


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
