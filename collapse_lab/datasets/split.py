"""The split of a data set that has no official one."""

from __future__ import annotations

import numpy as np

from collapse_lab.errors import UserError


def stratified(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A mask (n,) bool of round(fraction * n) reference rows, spread over the labels (n,) by their sizes.

    Each label gives the whole part of its share; the rows still missing come from the labels with the largest
    remainders, so no label is off its share by a whole row. Rows without a label (-1) count as one label.
    Raises UserError where either side would be empty.
    """
    values, counts = np.unique(labels, return_counts=True)
    total = round(fraction * len(labels))
    if not 0 < total < len(labels):
        raise UserError(
            f"reference_fraction={fraction} of {len(labels)} rows leaves {len(labels) - total} to train on "
            f"and {total} for reference, and both must have some: change the fraction or add rows"
        )
    shares = fraction * counts
    take = np.floor(shares + 1e-9).astype(np.int64)
    order = np.argsort(take - shares, kind="stable")
    missing = total - int(take.sum())
    take[order[:missing]] += 1

    rng = np.random.default_rng([seed, 0])
    mask = np.zeros(len(labels), bool)
    for value, share in zip(values, take, strict=True):
        mask[rng.permutation(np.flatnonzero(labels == value))[:share]] = True
    return mask
