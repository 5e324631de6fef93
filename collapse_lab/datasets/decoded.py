"""Pictures that are decoded once: their pixels in one mapped file, what else is known of them in a small one beside it.

The files are believed only if they have the checksums that the small one names.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock, Timeout

from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum, make_folder, sync, whole
from collapse_lab.storage.mapped import checksum_once, reserve

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")
Arrays = Mapping[str, np.ndarray]

SUMS = "sha256"
BLOCK = "block"  # the array that holds the checksum of the file of pixels
AHEAD = 64  # pictures that wait for their turn, so that those of a large archive do not gather in memory


@dataclass(frozen=True)
class Recipe:
    """Say how pictures are decoded.

    Attributes:
        shape: (n, c, h, w) of all pictures.
        fill: writes pixels into the first k rows of an array (n, c, h, w) of uint8, and returns k and what else is to
            be kept: name -> array of numbers or texts.
    """

    shape: tuple[int, int, int, int]
    fill: Callable[[np.ndarray], tuple[int, Arrays]]


@dataclass(frozen=True)
class DecodedPictures:
    """Hold the places of decoded pictures in a cache, and what they are.

    Args:
        cache: the folder of the cache (paths.data).
        name: the class of the data set.
        identity: everything that the pixels depend on.
    """

    cache: str
    name: str
    identity: str

    @property
    def rows(self) -> Path:
        """Return the path of the small file."""
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        return Path(self.cache).expanduser() / "decoded" / f"{self.name}-{digest}.npz"

    @property
    def pixels(self) -> Path:
        """Return the path of the file of pixels."""
        return self.rows.with_suffix(".npy")

    def read(self, *names: str) -> list[np.ndarray] | None:
        """Return arrays of the small file; None where there are none, or they are not those that were written.

        Raises:
            UserError: the file cannot be read.
        """
        with self._unreadable_explained():
            try:
                return read_arrays(self.rows, f"{self.name} {self.identity}", names)
            except FileNotFoundError:
                return None
            except ValueError as error:
                log.warning("%s failed its check (%s); the pictures are decoded again", self.rows, error)
                return None

    def obtain(self, names: tuple[str, ...], prepare: Callable[[], Recipe]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the pixels (k, c, h, w), mapped, and arrays of the small file; they are decoded here if need be.

        Args:
            names: the arrays that are wanted.
            prepare: returns how the pictures are decoded. It is called before anything is written, and may refuse.

        Raises:
            UserError: a file cannot be read or written.
        """
        found = self._found(names)
        if found is None:
            recipe = prepare()
            make_folder(self.rows.parent, "paths.data")
            with _locked(self.rows.with_suffix(".lock"), self.name):
                found = self._found(names)
                if found is None:
                    arrays = self._decode(recipe)
                    found = _mapped(self.pixels), [arrays[name] for name in names]
        return found

    def _found(self, names: tuple[str, ...]) -> tuple[np.ndarray, list[np.ndarray]] | None:
        arrays = self.read(BLOCK, *names)
        if arrays is None:
            return None
        expected, chosen = str(arrays[0]), arrays[1:]
        with self._unreadable_explained():
            try:
                measured = checksum_once(self.pixels)
            except FileNotFoundError:
                measured = "of no file"
            if measured == expected:
                return _mapped(self.pixels), chosen
        log.warning(
            "%s failed its check (its SHA-256 is %s…); the pictures are decoded again", self.pixels, measured[:12]
        )
        return None

    def _decode(self, recipe: Recipe) -> Arrays:
        """Return what the recipe gives beside the pixels, after both files are written."""
        draft = self.pixels.with_name(f".{self.pixels.name}")  # one name, so that what a crash left is written over
        try:
            with self._unwritable_explained():
                block = np.lib.format.open_memmap(draft, "w+", np.uint8, recipe.shape)
                with draft.open("r+b") as file:
                    reserve(file.fileno(), draft.stat().st_size)
            used, arrays = recipe.fill(block)
            with self._unwritable_explained():
                if used < len(block):
                    _cut(draft, block, used)
                del block
                sync(draft)
                arrays = {**arrays, BLOCK: np.array(checksum(draft))}
                draft.replace(self.pixels)
                write_arrays(self.rows, f"{self.name} {self.identity}", arrays)
        finally:
            draft.unlink(missing_ok=True)
        return arrays

    @contextmanager
    def _unreadable_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{error.filename or self.rows} cannot be read ({error.strerror}): give another folder with "
                "paths.data=…"
            ) from error

    @contextmanager
    def _unwritable_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"the cache {self.rows.parent} cannot be written ({error.strerror}): make room, or give another "
                "folder with paths.data=…"
            ) from error


def in_threads(items: Iterable[T], work: Callable[[T], U]) -> Iterator[tuple[T, U]]:
    """Yield each item with what `work` makes of it, in their order, while threads work on the next ones.

    Args:
        items: what is worked on.
        work: called in threads; what it raises is raised here.
    """
    waiting: deque[tuple[T, Future[U]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) == AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _mapped(path: Path) -> np.ndarray:
    """Return the array of an .npy file, mapped; who writes into it changes a copy of its own."""
    block: np.ndarray = np.load(path, mmap_mode="c")
    return block


def _cut(path: Path, block: np.ndarray, rows: int) -> None:
    """Write the first rows of a block to a file that may be the block's own."""
    part = path.with_name(f"{path.name}-part")
    try:
        with part.open("wb") as file:
            np.save(file, block[:rows])
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Hold a lock inside the block, so that of two processes that need the same pictures only one decodes them."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        log.warning("waiting for another process that is decoding the pictures of %s", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_arrays(path: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and their checksums as one .npz file, so that a crash leaves no part of it.

    Args:
        path: the file.
        identity: what the arrays are, such as the data set and its arguments; it is part of every checksum.
        arrays: name -> array of numbers or texts.
    """
    sums = np.array([f"{name} {_sum(identity, name, array)}" for name, array in arrays.items()])
    with whole(path, path.with_name(f".{os.getpid()}-{path.name}")) as draft:
        np.savez(draft, **{SUMS: sums, **arrays})  # type: ignore[arg-type]


def read_arrays(path: Path, identity: str, names: tuple[str, ...]) -> list[np.ndarray]:
    """Return some of the arrays of a file.

    A checksum protects against damage, and against a file of another data set or of other arguments. It does not
    protect against somebody who may write to the cache and makes a checksum for other pictures, so a cache has to
    belong to people who trust each other.

    Args:
        path: what `write_arrays` wrote.
        identity: the same as it was given.
        names: the arrays that are wanted.

    Raises:
        ValueError: when the file is damaged, or an array has another checksum.
        OSError: when the file cannot be read.
    """
    try:
        with np.load(path) as arrays:
            sums = dict(line.split(" ") for line in map(str, arrays[SUMS]))
            chosen = [arrays[name] for name in names]
    except (AttributeError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is no file of arrays: {error}") from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError) as error:
        raise ValueError(str(error)) from error
    for name, array in zip(names, chosen, strict=True):
        if sums.get(name) != _sum(identity, name, array):
            raise ValueError(f"the array {name} has another checksum")
    return chosen


def _sum(identity: str, name: str, array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{identity}\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
    digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()
