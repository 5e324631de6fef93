"""Locks that hold on a file system which several machines share, such as NFS, whatever their clocks say.

A lock is a row of numbered files, `NAME.0`, `NAME.1`, …, of which the last one counts: it names a holder, or says
`free`. Each step is the making of the next file, which one process alone can do (O_EXCL, atomic in NFS from version 3
on), so that to take a lock, to free it and to take over from a dead holder are all decided by one rule. No file of the
row is ever removed, because a process that has looked a moment ago would make it again.

The holder writes a counter into its file every few seconds. Who waits looks at the counter and measures by its own
clock for how long it has stood still; clocks of two machines are never compared.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

SECONDS = 60.0  # for how long a counter stands still before its holder counts as dead
BEATS = 6  # how often a counter is written in this time
LOOK = 1.0  # seconds between two looks of who waits
FREE = b"free"


def end_process(path: Path) -> None:
    """End this process at once, because another one has taken over its work; what is stored is made for a kill."""
    log.error(
        "this process was stopped for longer than %.0f seconds, and another one has taken over its lock %s; it ends, "
        "and the same command goes on",
        SECONDS,
        path,
    )
    os._exit(1)


class Lease:
    """Represent a lock on a shared file system.

    Args:
        path: what the files of the lock begin with.
        seconds: for how long a counter stands still before its holder counts as dead.
        clock: returns seconds; only differences of two readings have a meaning.
        lost: called in a thread of its own where another process has taken over.
    """

    def __init__(
        self,
        path: Path,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        lost: Callable[[Path], None] = end_process,
    ) -> None:
        self._path, self._seconds, self._clock, self._lost = path, seconds, clock, lost
        self._token = f"{socket.gethostname()} {os.getpid()} {uuid4().hex}"
        self._number = -1  # the last file of the row that is known
        self._seen: tuple[int, bytes, float] | None = None
        self._beats = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Return whether this object holds the lock, which another process may have taken over since."""
        return self._thread is not None and not self._file(self._number + 1).exists()

    @property
    def is_free(self) -> bool:
        """Return whether its last holder has freed the lock; not where nobody has taken it yet.

        Raises:
            OSError: a file of the lock cannot be read.
        """
        return self._last() == FREE

    def acquire(self, timeout: float) -> bool:
        """Return whether the lock was taken, after so many seconds at most; a negative number waits without end.

        Raises:
            OSError: a file of the lock cannot be made or read.
        """
        end = self._clock() + timeout
        while not self.attempt():
            left = LOOK if timeout < 0 else end - self._clock()
            if left <= 0:
                return False
            time.sleep(min(LOOK, left))
        return True

    def attempt(self) -> bool:
        """Return whether the lock was taken now.

        Raises:
            OSError: a file of the lock cannot be made or read.
        """
        content = self._last()
        if content not in (None, FREE) and not self._is_dead(content or b""):
            return False
        if not self._make(self._number + 1, self._beat()):
            return False  # because another process was faster
        self._number += 1
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name=f"lease {self._path.name}", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Free the lock; where another process has taken over, it keeps it."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        with suppress(OSError):  # because a disk that is full may be what ended the work; the lease runs out then
            self._make(self._number + 1, FREE)

    def beat(self) -> bool:
        """Write the counter once more, and return whether this object still holds the lock."""
        if self._file(self._number + 1).exists():
            return False
        try:
            handle = os.open(self._file(self._number), os.O_WRONLY)
            try:
                os.pwrite(handle, self._beat(), 0)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            log.warning("the lock %s cannot be renewed (%s); it runs out in a while", self._path, error)
        return True

    def _keep(self) -> None:
        while not self._stop.wait(self._seconds / BEATS):
            if not self.beat():
                if not self._stop.is_set():
                    self._lost(self._path)
                return

    def _beat(self) -> bytes:
        self._beats += 1
        return f"{self._token} {self._beats:012d}\n".encode()

    def _file(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _last(self) -> bytes | None:
        """Return what the last file of the row holds, None where there is none."""
        while self._file(self._number + 1).exists():
            self._number += 1
        return self._file(self._number).read_bytes() if self._number >= 0 else None

    def _is_dead(self, content: bytes) -> bool:
        """Return whether the counter of the holder has stood still for longer than a lease, by the clock of here."""
        now = self._clock()
        if self._seen is None or self._seen[:2] != (self._number, content):
            self._seen = (self._number, content, now)
        if now - self._seen[2] <= self._seconds:
            return False
        holder = " ".join(content.decode(errors="replace").split()[:2]) or "a process that wrote nothing"
        log.warning("%s held %s and has not been heard of for %.0f s; taken over", holder, self._path, self._seconds)
        return True

    def _make(self, number: int, content: bytes) -> bool:
        """Return whether the file was made here, and not by another process."""
        try:
            # Because two users may share a store, each may write what the umask lets others write
            handle = os.open(self._file(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        return True
