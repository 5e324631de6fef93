"""95 % intervals over seeds: of a mean, of a median, and of a mean in units of its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, gammaln, nctdtrinc, stdtrit

from collapse_lab.types import Estimate

LEVEL = 0.95
_TAIL = (1 + LEVEL) / 2


def of_mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """Return the mean with its interval mean ± t · s / √n.

    t is the 97.5 % quantile of Student's distribution with n - 1 degrees of freedom. The interval is exact for normal
    values with any n; with 3 of them t is 4.3. A single value has no interval.

    Args:
        values: The values (n,), one for each seed.

    Returns:
        The mean with its 95 % interval; without an interval where n is 1.

    Raises:
        ValueError: There is no value.
    """
    x = np.asarray(values, float)
    if x.size == 0:
        raise ValueError("expected one value or more to take a mean of; got none")
    mean = float(x.mean())
    if x.size < 2:
        return Estimate(mean)
    half = float(half_width(x))
    return Estimate(mean, mean - half, mean + half)


def half_width(values: np.ndarray) -> np.ndarray:
    """Return t · s / √n, half the width of the interval of a mean, over the first axis.

    Args:
        values: The values (n, …).

    Returns:
        The half widths (…); infinite where n is 1.
    """
    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], math.inf)
    return np.asarray(stdtrit(n - 1, _TAIL) * values.std(axis=0, ddof=1) / math.sqrt(n))


def of_median(times: Sequence[float | None]) -> Estimate:
    """Return the median with the interval of order statistics x_(r) to x_(n+1-r).

    r is the largest rank with P(Binomial(n, 1/2) < r) <= 0.025. The interval holds for any distribution of times, and
    for chains that were stopped before the event. Fewer than 6 times have no interval.

    Args:
        times: One time for each chain, in generations; None means that the event never came, and counts as later
            than any time.

    Returns:
        The median with its 95 % interval; "never" is infinity.

    Raises:
        ValueError: There is no time.
    """
    if not times:
        raise ValueError("expected one value or more to take a median of; got none")
    x = np.sort([math.inf if time is None else time for time in times])
    n = len(x)
    median = math.inf if math.isinf(x[n // 2]) else float(np.median(x))
    ranks = np.flatnonzero(bdtr(np.arange(n), n, 0.5) <= 1 - _TAIL)
    if not len(ranks):
        return Estimate(median)
    return Estimate(median, float(x[ranks[-1]]), float(x[n - 1 - ranks[-1]]))


def of_effect(differences: Sequence[float] | np.ndarray) -> Estimate | None:
    """Return the standardised mean difference of n pairs, g = J(n - 1) · mean / s, with its interval.

    s is the spread of the differences. J(m) = Γ(m/2) / (√(m/2) Γ((m-1)/2)) removes the bias of small samples. The
    interval is that of mean / s of infinitely many pairs: √n · mean / s follows the noncentral t-distribution, whose
    noncentrality is inverted.

    Args:
        differences: The paired differences (n,), one for each seed.

    Returns:
        The effect size with its 95 % interval, any number. By convention 0.2 is called small and 0.8 large, in units
        of the spread between seeds, not between images. None for fewer than 3 pairs, where no unbiased estimate
        exists, and where all differences are equal.

    Source: L. V. Hedges, Journal of Educational Statistics 6 (1981); for the interval, Cumming and Finch, Educational
    and Psychological Measurement 61 (2001).
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
