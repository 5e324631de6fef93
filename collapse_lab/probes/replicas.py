"""Estimates from the numbers of many independent replicas."""

from __future__ import annotations

import math

import numpy as np

from collapse_lab.metrics.intervals import Z, wilson
from collapse_lab.types import Estimate


def mean(values: np.ndarray) -> Estimate:
    """Return the mean over replicas ± 1.96 s/√R; a single replica has no interval.

    Args:
        values: One number for each replica, (R,).
    """
    centre, r = float(values.mean()), len(values)
    if r < 2 or not math.isfinite(centre):
        return Estimate(centre)
    half = Z * math.sqrt(float((values - centre) @ (values - centre)) / (r - 1) / r)
    return Estimate(centre, centre - half, centre + half)


def share(hits: np.ndarray) -> Estimate:
    """Return the share of replicas that are true, with Wilson's interval; a single replica has no interval.

    Args:
        hits: One boolean for each replica, (R,).
    """
    estimate = wilson(int(hits.sum()), len(hits))
    return estimate if len(hits) > 1 else Estimate(estimate.value)


def quantiles(values: np.ndarray, probabilities: tuple[float, ...]) -> list[Estimate]:
    """Return quantiles over replicas as order statistics.

    The interval of a quantile lies between the order statistics whose ranks are 1.96 binomial deviations away. Where
    there is no such rank the replicas are too few, and the quantile has no interval.

    Args:
        values: One number for each replica, (R,).
        probabilities: The probabilities of the quantiles, each in (0, 1).
    """
    r = len(values)
    ranks = []
    for p in probabilities:
        half = Z * math.sqrt(r * p * (1 - p))
        ranks.append([round((r - 1) * p), math.floor(r * p - half) - 1, math.ceil(r * p + half) - 1])
    inside = sorted({rank for of_quantile in ranks for rank in of_quantile if 0 <= rank < r})
    ordered = np.partition(values, inside)
    estimates = []
    for middle, low, high in ranks:
        bounded = low >= 0 and high < r
        value = float(ordered[middle])
        estimates.append(Estimate(value, float(ordered[low]), float(ordered[high])) if bounded else Estimate(value))
    return estimates
