"""Intervals over seeds: of a mean, of a median, of a ratio of means or of spreads, of a mean in units of its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, gammaln, nctdtrinc, stdtr, stdtrit

from collapse_lab.types import Estimate

LEVEL = 0.95
_TAIL = (1 + LEVEL) / 2


def of_mean(values: Sequence[float] | np.ndarray, confidence: float = LEVEL) -> Estimate:
    """Return the mean with its interval mean ± t · s / √n.

    t is a quantile of Student's distribution with n - 1 degrees of freedom, that of 97.5 % for an interval of 95 %.
    The interval is exact for normal values with any n; with 3 of them t is 4.3. A single value has no interval.

    Args:
        values: The values (n,), one for each seed.
        confidence: The probability with which the interval contains the expectation, between 0 and 1.

    Returns:
        The mean with its interval; without an interval where n is 1.

    Raises:
        ValueError: There is no value.
    """
    x = np.asarray(values, float)
    if x.size == 0:
        raise ValueError("expected one value or more to take a mean of; got none")
    mean = float(x.mean())
    if x.size < 2:
        return Estimate(mean)
    half = float(half_width(x, confidence))
    return Estimate(mean, mean - half, mean + half)


def p_of_mean(values: Sequence[float] | np.ndarray) -> float | None:
    """Return P(|T| ≥ |mean| √n / s) of Student's t with n - 1 degrees of freedom: the two-sided p value of a mean of 0.

    Args:
        values: The values (n,), such as the differences of pairs.

    Returns:
        A probability; None for fewer than 2 values, and where all values are equal.
    """
    x = np.asarray(values, float)
    spread = float(x.std(ddof=1)) if x.size > 1 else 0.0
    if spread <= 1e-12 * float(np.abs(x).max(initial=0.0)):
        return None
    return float(2 * stdtr(x.size - 1, -abs(float(x.mean())) * math.sqrt(x.size) / spread))


def half_width(values: np.ndarray, confidence: float = LEVEL) -> np.ndarray:
    """Return t · s / √n, half the width of the interval of a mean, over the first axis.

    Args:
        values: The values (n, …).
        confidence: The probability with which the interval contains the expectation, between 0 and 1.

    Returns:
        The half widths (…); infinite where n is 1.
    """
    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], math.inf)
    return np.asarray(stdtrit(n - 1, (1 + confidence) / 2) * values.std(axis=0, ddof=1) / math.sqrt(n))


def of_median(times: Sequence[float | None], confidence: float = LEVEL) -> Estimate:
    """Return the median with the interval of order statistics x_(r) to x_(n+1-r).

    r is the largest rank with P(Binomial(n, 1/2) < r) <= 0.025, for an interval of 95 %. The interval holds for any
    distribution of times, and for chains that were stopped before the event. Fewer than 6 times have none of 95 %.

    Args:
        times: One time for each chain, in generations; None means that the event never came, and counts as later
            than any time.
        confidence: The probability with which the interval contains the median, between 0 and 1.

    Returns:
        The median with its interval; "never" is infinity.

    Raises:
        ValueError: There is no time.
    """
    if not times:
        raise ValueError("expected one value or more to take a median of; got none")
    x = np.sort([math.inf if time is None else time for time in times])
    n = len(x)
    median = math.inf if math.isinf(x[n // 2]) else float(np.median(x))
    ranks = np.flatnonzero(bdtr(np.arange(n), n, 0.5) <= (1 - confidence) / 2)
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


def of_times(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, confidence: float = LEVEL
) -> Estimate | None:
    """Return exp(mean(log(x / y))) of n pairs, with the t-interval of the logarithms.

    Args:
        x: The values (n,), one for each seed.
        y: The values to divide by (n,), of the same seeds.
        confidence: The probability with which the interval contains the ratio, between 0 and 1.

    Returns:
        The ratio, above 0; without an interval where n is 1. None where there is no pair, or a value is not above 0.
    """
    over, under = np.asarray(x, float), np.asarray(y, float)
    if not over.size or min(over.min(), under.min()) <= 0:
        return None
    logs = of_mean(np.log(over / under), confidence)
    lo, hi = (None if end is None else math.exp(end) for end in (logs.lo, logs.hi))
    return Estimate(math.exp(logs.value), lo, hi)


def of_ratio(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, confidence: float = LEVEL) -> Estimate:
    """Return mean(x) / mean(y) of n pairs, with the interval of Fieller.

    The interval holds every r for which the t-interval of mean(x - r y) contains 0. It is exact for normal pairs, also
    where x and y of one seed go together. Where mean(y) may be 0 at this confidence, every ratio is possible, and the
    interval is unbounded.

    Args:
        x: The values (n,), one for each seed.
        y: The values to divide by (n,), of the same seeds.
        confidence: The probability with which the interval contains the ratio of the expectations, between 0 and 1.

    Returns:
        The ratio with its interval; without an interval where n is 1, and NaN where mean(y) is 0.

    Source: E. C. Fieller, Journal of the Royal Statistical Society B 16 (1954).
    """
    pairs = np.asarray([x, y], float)
    over, under = (float(mean) for mean in pairs.mean(axis=1))
    value, n = (over / under if under else math.nan), pairs.shape[1]
    if n < 2:
        return Estimate(value)
    (var_x, covariance), (_, var_y) = np.cov(pairs) / n * float(stdtrit(n - 1, (1 + confidence) / 2)) ** 2
    a, b, c = under**2 - var_y, over * under - covariance, over**2 - var_x
    if a <= 0:
        return Estimate(value, -math.inf, math.inf)
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Estimate(value, float((b - root) / a), float((b + root) / a))


def of_spreads(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, confidence: float = LEVEL) -> Estimate:
    """Return s_x / s_y, the ratio of the standard deviations of n pairs, with the interval of Pitman and Morgan.

    With w = s_x² / s_y², r the correlation of the pairs, t the quantile of Student's distribution with n - 2 degrees of
    freedom and K = 1 + 2 (1 - r²) t² / (n - 2), the ends are √(w (K ± √(K² - 1))). The interval is exact for normal
    pairs. It is very wide for few of them: with 3 uncorrelated pairs it reaches over a factor of 25 either way.

    Args:
        x: The values (n,), one for each seed.
        y: The values (n,), of the same seeds.
        confidence: The probability with which the interval contains the ratio of the true deviations, between 0 and 1.

    Returns:
        The ratio, at least 0, with its interval; without an interval for fewer than 3 pairs, and NaN where y does not
        vary.

    Source: W. A. Morgan, Biometrika 31 (1939).
    """
    pairs = np.asarray([x, y], float)
    n = pairs.shape[1]
    deviations = pairs.std(axis=1, ddof=1) if n > 1 else np.zeros(2)
    if not deviations[1] > 0:
        return Estimate(math.nan)
    ratio = float(deviations[0] / deviations[1])
    if n < 3 or not ratio > 0:
        return Estimate(ratio)
    correlation = float(np.corrcoef(pairs)[0, 1])
    k = 1 + 2 * max(1 - correlation**2, 0.0) * float(stdtrit(n - 2, (1 + confidence) / 2)) ** 2 / (n - 2)
    factor = math.sqrt(k + math.sqrt(k * k - 1))  # (K - √(K² - 1)) is 1 / (K + √(K² - 1))
    return Estimate(ratio, ratio / factor, ratio * factor)
