"""95 % intervals over seeds: of a mean, of a median, and of how large a mean is beside its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, gammaln, nctdtrinc, stdtrit

from collapse_lab.types import Estimate

LEVEL = 0.95
_TAIL = (1 + LEVEL) / 2


def of_mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """mean ± t · s / √n, t the 97.5 % quantile of Student's distribution with n - 1 degrees of freedom.

    A single value has no interval. Exact for normal values, whatever n; with 3 of them t is 4.3.

    Raises:
        ValueError: there is no value.
    """
    x = np.asarray(values, float)
    if x.size == 0:
        raise ValueError("a mean takes one value or more")
    mean = float(x.mean())
    if x.size < 2:
        return Estimate(mean)
    half = float(half_width(x))
    return Estimate(mean, mean - half, mean + half)


def half_width(values: np.ndarray) -> np.ndarray:
    """t · s / √n over the first axis, of n values; infinite for a single one."""
    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], math.inf)
    return np.asarray(stdtrit(n - 1, _TAIL) * values.std(axis=0, ddof=1) / math.sqrt(n))


def of_median(times: Sequence[float | None]) -> Estimate:
    """The median between order statistics x_(r) and x_(n+1-r), r the largest with P(Binomial(n, 1/2) < r) <= 0.025.

    None is never: later than any time, infinity in the result. Of any distribution, and so of chains that were not
    followed to the end; fewer than 6 have no interval.

    Raises:
        ValueError: there is no time.
    """
    if not times:
        raise ValueError("a median takes one value or more")
    x = np.sort([math.inf if t is None else t for t in times])
    n = len(x)
    median = math.inf if math.isinf(x[n // 2]) else float(np.median(x))
    ranks = np.flatnonzero(bdtr(np.arange(n), n, 0.5) <= 1 - _TAIL)
    if not len(ranks):
        return Estimate(median)
    return Estimate(median, float(x[ranks[-1]]), float(x[n - 1 - ranks[-1]]))


def of_effect(differences: Sequence[float] | np.ndarray) -> Estimate | None:
    """The standardised mean difference of n pairs, g = J(n - 1) · mean / s, s the spread of the differences.

    J(m) = Γ(m/2) / (√(m/2) Γ((m-1)/2)) takes the bias of small samples away. The interval is that of mean / s of
    infinitely many pairs: √n · mean / s follows the noncentral t-distribution, whose noncentrality is inverted.
    None for fewer than 3 pairs, where no unbiased estimate exists, and where all differences are equal.

    Range: any number; by convention 0.2 is called small and 0.8 large, of a spread between seeds, not between images.
    Source: L. V. Hedges, Journal of Educational Statistics 6 (1981); Cumming and Finch, Educational and Psychological
    Measurement 61 (2001), for the interval.
    """
    x = np.asarray(differences, float)
    n = x.size
    spread = float(x.std(ddof=1)) if n > 2 else 0.0
    if spread <= 1e-12 * float(np.abs(x).max(initial=0.0)):
        return None
    m = n - 1
    unbiased = math.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / math.sqrt(m / 2)
    standardised = float(x.mean()) / spread
    t = standardised * math.sqrt(n)
    lo, hi = (float(nctdtrinc(m, p, t)) / math.sqrt(n) for p in (_TAIL, 1 - _TAIL))
    return Estimate(unbiased * standardised, lo, hi)
