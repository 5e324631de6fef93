"""File of decoded arrays in the cache, which is believed only if each array has the checksum that the file names."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from collapse_lab.storage.files import sync

SUMS = "sha256"


def write_arrays(path: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and their checksums as one .npz file, so that a crash leaves no part of it.

    Args:
        path: the file.
        identity: what the arrays are, such as the data set and its arguments; it is part of every checksum.
        arrays: name -> array of numbers or texts.
    """
    sums = np.array([f"{name} {_sum(identity, name, array)}" for name, array in arrays.items()])
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        np.savez(draft, **{SUMS: sums, **arrays})  # type: ignore[arg-type]
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
