"""Numbers of many independent replicas as one estimate."""

from __future__ import annotations

import math

import numpy as np

from collapse_lab.metrics.intervals import Z, wilson
from collapse_lab.types import Estimate


def mean(values: np.ndarray) -> Estimate:
    """The mean over replicas (R,) ± 1.96 s/√R; a single replica has no interval."""
    centre, r = float(values.mean()), len(values)
    if r < 2 or not math.isfinite(centre):
        return Estimate(centre)
    half = Z * math.sqrt(float((values - centre) @ (values - centre)) / (r - 1) / r)
    return Estimate(centre, centre - half, centre + half)


def share(hits: np.ndarray) -> Estimate:
    """The share of replicas (R,) bool; a single replica has no interval."""
    found = wilson(int(hits.sum()), len(hits))
    return found if len(hits) > 1 else Estimate(found.value)


def quantiles(values: np.ndarray, probabilities: tuple[float, ...]) -> list[Estimate]:
    """Quantiles over replicas (R,): order statistics, between those whose ranks are 1.96 binomial deviations off.

    Where there is no such rank the replicas are too few for an interval.
    """
    r = len(values)
    ranks = []
    for p in probabilities:
        half = Z * math.sqrt(r * p * (1 - p))
        ranks.append([round((r - 1) * p), math.floor(r * p - half) - 1, math.ceil(r * p + half) - 1])
    inside = sorted({rank for each in ranks for rank in each if 0 <= rank < r})
    ordered = np.partition(values, inside)
    found = []
    for middle, low, high in ranks:
        bounded = low >= 0 and high < r
        value = float(ordered[middle])
        found.append(Estimate(value, float(ordered[low]), float(ordered[high])) if bounded else Estimate(value))
    return found
