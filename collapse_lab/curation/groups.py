"""Rows grouped by the condition that they were sampled for."""

from __future__ import annotations

import numpy as np

from collapse_lab.types import Captions


def groups(labels: np.ndarray, captions: Captions) -> list[np.ndarray]:
    """The rows of each (label, caption), groups and rows in the order of their first appearance."""
    found: dict[tuple[int, int], list[int]] = {}
    texts = captions.index if captions.table else np.zeros(len(labels), np.int64)
    for row, condition in enumerate(zip(labels.tolist(), texts.tolist(), strict=True)):
        found.setdefault(condition, []).append(row)
    return [np.asarray(rows, np.int64) for rows in found.values()]
