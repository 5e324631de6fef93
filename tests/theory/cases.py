"""How far a Monte-Carlo mean is from a closed form, in its own standard errors."""

from __future__ import annotations

import numpy as np


def error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean along the last axis."""
    spread: np.ndarray = values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
    return spread


def deviation(values: np.ndarray, expected: np.ndarray | float) -> float:
    """The largest distance of a mean along the last axis from what is expected, in standard errors."""
    return float(np.max(np.abs(values.mean(-1) - expected) / error(values)))
