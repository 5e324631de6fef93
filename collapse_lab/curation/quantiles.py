"""Quantile functions of intensities, and the monotone maps that give one distribution to another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from collapse_lab.images import as_float, as_uint8
from collapse_lab.types import Rows

LEVELS = 256  # of uint8
NUMBERS = 2**24  # how many intensities are read at a time, 16 MB of uint8


@dataclass(frozen=True)
class Quantiles:
    """Hold the quantile function of some numbers: linear between the midpoints of their ranks, constant beyond.

    Attributes:
        places: (k,) float64 in (0, 1), rising.
        values: (k,) the value at each place, never falling.
    """

    places: np.ndarray
    values: np.ndarray

    @classmethod
    def of_values(cls, values: np.ndarray) -> Quantiles:
        """Return the quantile function of some numbers.

        Args:
            values: of any shape, at least one number.
        """
        ordered = np.sort(values, axis=None)
        return cls((np.arange(ordered.size) + 0.5) / ordered.size, ordered)

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> Quantiles:
        """Return the quantile function of uint8 intensities, as float32 in [-1, 1].

        It equals `of_values` of the intensities to the last bit, and holds two places a level: the function is flat
        between the first and the last of equal numbers, so those between them change nothing.

        Args:
            counts: (256,), how often each level is there; at least one is above 0.
        """
        present = np.flatnonzero(counts)
        last = np.cumsum(counts[present]) - 1
        first = last - counts[present] + 1
        ranks, kept = np.unique(np.stack([first, last], 1), return_index=True)  # a level that is there once has one
        values = as_float(torch.from_numpy(present.astype(np.uint8))).numpy()
        return cls((ranks + 0.5) / counts.sum(), values.repeat(2)[kept])

    def at_midpoints(self, counts: np.ndarray) -> np.ndarray:
        """Return the values at the midpoints of the ranks of k distinct numbers, float64 (k,).

        Args:
            counts: (k,), how often each number is there, from the smallest number to the largest.
        """
        ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
        values: np.ndarray = np.interp(ranks, self.places, self.values)
        return values


def match_quantiles(values: np.ndarray, target: Quantiles) -> np.ndarray:
    """Return Q_target(F(v)) for each v of `values`.

    This is the monotone map that takes the distribution of `values` to that of the target. F(v) is the midpoint of the
    rank of v among `values`, so equal values stay equal.

    Args:
        values: the numbers to map, of any shape.
        target: the quantile function of the numbers whose distribution is wanted.

    Returns:
        The mapped numbers, of the shape of `values`.
    """
    _, distinct, counts = np.unique(values, return_inverse=True, return_counts=True)
    return target.at_midpoints(counts)[distinct].reshape(values.shape)


def match_levels(counts: np.ndarray, target: Quantiles) -> np.ndarray:
    """Return the level (256,), uint8, that `match_quantiles` gives to each level, rounded.

    Args:
        counts: (256,), how often each level is there. A level that is not there gets 0.
        target: the quantile function of intensities in [-1, 1].
    """
    present, levels = np.flatnonzero(counts), np.zeros(LEVELS, np.uint8)
    # Rounded to float32 first, because images of floating-point numbers are
    mapped = target.at_midpoints(counts[present]).astype(np.float32)
    levels[present] = as_uint8(torch.from_numpy(mapped)).numpy()
    return levels


def batches(rows: np.ndarray, numbers: int) -> Iterator[np.ndarray]:
    """Yield some row numbers part by part, so that a part of the rows holds few intensities.

    Args:
        rows: (n,) the row numbers.
        numbers: the intensities of a row.
    """
    size = max(1, NUMBERS // numbers)
    for low in range(0, len(rows), size):
        yield rows[low : low + size]


def counts_of(images: Rows, rows: np.ndarray) -> np.ndarray:
    """Return how often each level is in each channel of some images, int64 (c, 256).

    Args:
        images: (n, c, h, w), uint8; they are read part by part.
        rows: the numbers of the images.
    """
    counts = np.zeros((images.shape[1], LEVELS), np.int64)
    for part in batches(rows, math.prod(images.shape[1:])):
        read = images[torch.from_numpy(part)]
        for c, channel in enumerate(counts):
            channel += torch.bincount(read[:, c].flatten(), minlength=LEVELS).numpy()
    return counts


def quantiles_of(images: Rows, rows: np.ndarray) -> Iterator[Quantiles]:
    """Yield the quantile function of each channel of some images, of intensities in [-1, 1].

    Args:
        images: (n, c, h, w), uint8 in [0, 255] or floating-point in [-1, 1]; they are read part by part. Of
            floating-point images, the intensities of one channel are held.
        rows: the numbers of the images, one or more.
    """
    if images.dtype == torch.uint8:
        yield from map(Quantiles.of_counts, counts_of(images, rows))
        return
    for c in range(images.shape[1]):
        parts = batches(rows, math.prod(images.shape[1:]))
        channel = [as_float(images[torch.from_numpy(part)][:, c]).numpy() for part in parts]
        yield Quantiles.of_values(np.concatenate(channel))
