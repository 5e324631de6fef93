"""Make folders, whole files, checksums and locks, so that what was written survives a crash and a power cut."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from collapse_lab.errors import UserError
from collapse_lab.storage.leases import Lease
from collapse_lab.storage.mounts import locks_of
from collapse_lab.types import Executor


def make_folder(path: Path, knob: str) -> Path:
    """Return the folder, made if it is missing and known to take a file.

    Args:
        path: the folder.
        knob: the setting that moves it, which the message names.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    probe = path / f".probe-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        # Another thread of this process, or a process with the same id on another machine, may delete the same probe
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror}); give another folder with {knob}=…") from error
    return path


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk, or a quota, is full."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    # safetensors wraps the system's errors in its own, which has the number in its text alone
    return any(f"(os error {number})" in str(error) for number in full)


@contextmanager
def full_disk_explained(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk inside the block into one sentence.

    Args:
        folder: what is written to, which the sentence names.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if disk_is_full(error):
            raise UserError(full_disk(folder)) from error
        raise


def full_disk(folder: object) -> str:
    """Return what a user is told where the disk of a folder is full."""
    return f"the disk of {folder} is full. What is in the ledger is whole: make room, and give the same command again"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a small file so that a reader, or a crash, finds either the old content or the new, never a part."""
    # Because threads share a process id, and hosts that share a folder may, give each draft a name of its own
    with whole(path, path.with_name(f".{path.name}-{uuid4().hex}")) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextmanager
def whole(path: Path, draft: Path) -> Iterator[Path]:
    """Give what the block wrote to a draft the name of a file, after it is on disk.

    A reader, or a crash, finds either the old file or the new, never a part.

    Args:
        path: the file.
        draft: what the block writes to, in the same folder. It is removed where the block fails.
    """
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    except BaseException:
        # Because a full disk has taken a part of the draft, give the room back; what stopped the write is raised
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def checksum(path: Path) -> str:
    """Return SHA-256, in hex, of a file, or of the names and contents of all files below a folder."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return checksum_of(sorted(file for file in path.rglob("*") if file.is_file()), path)


def checksum_of(files: Iterable[Path], folder: Path, sum_of: Callable[[Path], str] = checksum) -> str:
    """Return SHA-256, in hex, over the names and contents of files below a folder, in the order that is given.

    Args:
        files: the files.
        folder: what their names are relative to.
        sum_of: returns SHA-256, in hex, of one file.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{sum_of(file)}\0".encode())
    return digest.hexdigest()


@contextmanager
def locked(path: Path, work: str, executor: Executor) -> Iterator[None]:
    """Hold the lock at `path` inside the block.

    On a disk of this machine the operating system owns the lock, so the lock of a process that died is free at once.
    On a file system that machines share it is a lease (`storage.leases`): free a minute after its holder was last heard
    of. `storage.mounts` says which is which.

    Args:
        path: the lock's file.
        work: what the holder of the lock computes, as a user who waits for it is told.
        executor: how this cell waits.

    Raises:
        UserError: the disk is full, and the file of the lock cannot be made.
    """
    lock = Lease(path) if locks_of(path.parent) == "lease" else FileLock(path)
    with full_disk_explained(path.parent):
        executor.wait(lambda seconds: _acquired(lock, seconds), work)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool | None:
    """Return whether a process holds the lock at `path`; None where it is not known.

    It is not known of a lock that was never taken here, and of a lease whose counter may stand still or not. A lock of
    the operating system is shared for an instant, for which a process that begins to take it has to try again.

    Args:
        path: the lock's file, as of `locked`.

    Raises:
        UserError: COLLAPSE_LAB_LOCKS says what it cannot say.
    """
    if locks_of(path.parent) == "lease":
        return False if Lease(path).is_free else None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EACCES, errno.EAGAIN) else None
    finally:
        os.close(handle)
    return False


def _acquired(lock: FileLock | Lease, seconds: float) -> bool:
    if isinstance(lock, Lease):
        return lock.acquire(seconds)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
