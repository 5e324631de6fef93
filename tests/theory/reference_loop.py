"""A chain of Gaussian fits, written from the process alone, with which the tests compare the closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from collapse_lab.theory.arguments import Estimator

CHUNK = 500  # replicas at a time: 500 x 100 draws stay in a core's cache


class Paths(NamedTuple):
    """Hold mean and variance of every generation (rows) of every replica (columns)."""

    mean: np.ndarray
    variance: np.ndarray

    @property
    def risk(self) -> np.ndarray:
        """Return (μ_g - 0)² + (σ_g - 1)², the squared Wasserstein distance to N(0, 1)."""
        distance: np.ndarray = self.mean**2 + (np.sqrt(self.variance) - 1) ** 2
        return distance


def gaussian_chains(sizes: Sequence[int], replicas: int, estimator: Estimator, seed: int) -> Paths:
    """Start from N(0, 1); for each of `sizes` fit that many draws of the fit before."""
    rng = np.random.default_rng(seed)
    ddof = 1 if estimator == "unbiased" else 0
    means, variances = np.empty((len(sizes), replicas)), np.empty((len(sizes), replicas))
    buffer = np.empty((CHUNK, max(sizes)))
    for start in range(0, replicas, CHUNK):
        stop = min(start + CHUNK, replicas)
        mean, std = np.zeros((stop - start, 1)), np.ones((stop - start, 1))
        for g, size in enumerate(sizes):
            x = buffer.reshape(-1)[: (stop - start) * size].reshape(-1, size)
            rng.standard_normal(out=x)
            x *= std
            x += mean
            mean = x.mean(1, keepdims=True)
            x -= mean
            variance = np.einsum("rn,rn->r", x, x) / (size - ddof)
            std = np.sqrt(variance)[:, None]
            means[g, start:stop], variances[g, start:stop] = mean[:, 0], variance
    return Paths(means, variances)
