"""Reader of the IDX format, in which MNIST and its successors are published."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.storage.archives import LARGEST_MEMBER


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read an array of uint8 from a plain or a gzipped IDX file.

    The header of the file is two zero bytes, the byte 8 for unsigned bytes, the number of axes, and the length of each
    axis as a big-endian 32-bit integer.

    Args:
        path: the file.
        ndim: number of axes that the file must have.

    Returns:
        uint8 array with `ndim` axes.

    Raises:
        UserError: when the header or the length of the file is wrong, or the gzip file is damaged.
    """
    head = 4 + 4 * ndim
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            raw = file.read(head)
            if len(raw) < head or raw[:4] != bytes([0, 0, 8, ndim]):
                raise UserError(
                    f"{path} should begin as an IDX file of {ndim} axes of bytes ({bytes([0, 0, 8, ndim])!r}), it "
                    f"begins with {raw[:4]!r}: replace it by a fresh copy"
                )
            shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", ndim, offset=4))
            size = math.prod(shape)
            # Because a small gzip file can unpack to terabytes, read no more than shows that the length is wrong
            raw = file.read(min(size, LARGEST_MEMBER) + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}): replace it by a fresh copy") from error
    if len(raw) != size:
        held = "more" if len(raw) > size else len(raw)
        raise UserError(
            f"{path} announces {shape}, that is {size} bytes, and holds {held}: it is cut short or damaged; replace "
            "it by a fresh copy"
        )
    return np.frombuffer(raw, np.uint8).reshape(shape)
