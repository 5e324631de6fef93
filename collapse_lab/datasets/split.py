"""Split of a data set into training rows and reference rows, stratified by label."""

from __future__ import annotations

import numpy as np

from collapse_lab.errors import UserError


def stratified(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Choose round(fraction * n) reference rows at random, in proportion to the sizes of the labels.

    Each label gives its share of rows, rounded down. The rows that are still missing come from the labels with the
    largest remainders, so the count of every label differs from its exact share by less than one row. Rows without a
    label (-1) count as one label.

    Args:
        labels: (n,) int64.
        fraction: share of the reference rows, in (0, 1).
        seed: seed of the choice.

    Returns:
        Mask (n,) bool of the reference rows.

    Raises:
        UserError: when there would be no training row or no reference row.
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
