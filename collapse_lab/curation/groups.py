"""Group rows by the condition that they were sampled for."""

from __future__ import annotations

import numpy as np

from collapse_lab.types import Captions


def groups(labels: np.ndarray, captions: Captions) -> list[np.ndarray]:
    """Return the row numbers of each pair (label, caption).

    Args:
        labels: the label of each of n rows, (n,).
        captions: the captions of the same n rows, or an empty table. With an empty table the label alone counts.

    Returns:
        One int64 array of row numbers per pair. Pairs stand in the order of their first appearance, and the rows of
        a pair rise.
    """
    rows_of: dict[tuple[int, int], list[int]] = {}
    texts = captions.index if captions.table else np.zeros(len(labels), np.int64)
    for row, condition in enumerate(zip(labels.tolist(), texts.tolist(), strict=True)):
        rows_of.setdefault(condition, []).append(row)
    return [np.asarray(rows, np.int64) for rows in rows_of.values()]
