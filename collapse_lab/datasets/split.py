"""Split of a data set into training rows and rows that are kept apart, stratified by label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from collapse_lab.errors import UserError

Part = Literal["reference", "validation"]
STREAMS: Mapping[Part, int] = {"reference": 0, "validation": 2}  # 1 is that of a data set's limit


def check_fractions(fractions: Mapping[Part, float | None], row: str) -> None:
    """Refuse a share of rows that is not strictly between 0 and 1.

    Args:
        fractions: The share of the rows that are kept apart for each part; None keeps none.
        row: What a row of the data set is, such as "document".

    Raises:
        UserError: A share is out of its range.
    """
    for part, fraction in fractions.items():
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(
                f"{part}_fraction must lie strictly between 0 and 1, got {fraction}: 0.2 keeps two {row}s in ten for "
                f"{part}"
            )


def stratified(labels: np.ndarray, fraction: float, seed: int, part: Part = "reference") -> np.ndarray:
    """Choose round(fraction * n) rows at random to keep apart, in proportion to the sizes of the labels.

    Each label gives its share of rows, rounded down. The rows that are still missing come from the labels with the
    largest remainders, so the count of every label differs from its exact share by less than one row. Rows without a
    label (-1) count as one label.

    Args:
        labels: (n,) int64.
        fraction: share of the rows that are kept apart, in (0, 1).
        seed: seed of the choice.
        part: what they are kept for; each part has a random stream of its own.

    Returns:
        Mask (n,) bool of the rows that are kept apart.

    Raises:
        UserError: when there would be no training row, or no row that is kept apart.
    """
    values, counts = np.unique(labels, return_counts=True)
    total = round(fraction * len(labels))
    if not 0 < total < len(labels):
        raise UserError(
            f"{part}_fraction={fraction} of {len(labels)} rows leaves {len(labels) - total} to train on "
            f"and {total} for {part}, and both must have some: change the fraction or add rows"
        )
    shares = fraction * counts
    take = np.floor(shares + 1e-9).astype(np.int64)
    order = np.argsort(take - shares, kind="stable")
    missing = total - int(take.sum())
    take[order[:missing]] += 1

    rng = np.random.default_rng([seed, STREAMS[part]])
    mask = np.zeros(len(labels), bool)
    for value, share in zip(values, take, strict=True):
        mask[rng.permutation(np.flatnonzero(labels == value))[:share]] = True
    return mask
