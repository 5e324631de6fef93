"""Distance of a Monte-Carlo mean from a closed form, in standard errors of the mean."""

from __future__ import annotations

import numpy as np


def error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean along the last axis."""
    spread: np.ndarray = values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
    return spread


def deviation(values: np.ndarray, expected: np.ndarray | float) -> float:
    """Return the largest distance of a mean along the last axis from its expectation, in standard errors."""
    return float(np.max(np.abs(values.mean(-1) - expected) / error(values)))
