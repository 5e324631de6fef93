"""How small an effect the runs of a claim could have shown, and how surely they show what they do."""

from __future__ import annotations

import math

from scipy.special import nctdtrinc, stdtrit

from collapse_lab.results.intervals import LEVEL
from collapse_lab.verify.measured import LEAST_SEEDS, Measured, Needed, within

POWER = 0.8
_LEAST_P = 1e-9
_HALVINGS = 40  # of the range of log p; the p value is then known to 11 digits


def detectable(measurement: Measured, needed: Needed) -> float | None:
    """Return how far beyond an end of the needed range the truth must lie to be shown with 80 % probability.

    With n seeds like these, the t-statistic of a truth at this distance exceeds the 97.5 % quantile of Student's
    distribution with probability 0.8. Where the interval is that of a logarithm, the distance is computed there.

    Args:
        measurement: What the statistic measured.
        needed: The range in which the claim is true.

    Returns:
        The distance, in units of the statistic, at least 0; infinite where the interval is unbounded. None for fewer
        than 3 seeds, where the interval is no t-interval, and where it has no width: seeds that are all equal, as at
        the end of a range, do not tell how much others would differ.
    """
    value, lo, hi, n = measurement.value, measurement.lo, measurement.hi, measurement.n
    if n < LEAST_SEEDS or value is None or lo is None or hi is None or lo == hi or measurement.scale is None:
        return None
    quantile = float(stdtrit(n - 1, (1 + LEVEL) / 2))
    factor = (
        float(nctdtrinc(n - 1, 1 - POWER, quantile)) / quantile
    )  # standard errors that are needed, over those shown
    if measurement.scale == "log":
        arm = factor * math.log(hi / value)
        up, down = needed.low * math.expm1(arm), -needed.high * math.expm1(-arm)
        return max(distance for distance in (up, down) if math.isfinite(distance))
    arms = [value - lo] * math.isfinite(needed.low) + [hi - value] * math.isfinite(needed.high)
    return factor * max(arms)


def shown(distance: float | None, needed: Needed) -> str:
    """Return the values of a statistic that its runs would have shown to be in the needed range, in words.

    Args:
        distance: What `detectable` returned.
        needed: The range in which the claim is true.

    Returns:
        A text such as "at least 1.71"; "no value" where no value in the range would have been shown, "" where the
        distance is not known.
    """
    if distance is None:
        return ""
    low, high = needed.low + distance, needed.high - distance
    if math.isinf(distance) or low > high:
        return "no value"
    return str(Needed(float(f"{low:.3g}"), float(f"{high:.3g}")))


def p_value(measurement: Measured, needed: Needed) -> float | None:
    """Return the smallest p at which the interval of confidence 1 - p gives a verdict.

    A verdict at 95 % has p ≤ 0.05. The p value is that of a test with two sides, so it is twice that of the end that
    decides.

    Args:
        measurement: What the statistic measured.
        needed: The range in which the claim is true.

    Returns:
        The p value, at least 1e-9; None for fewer than 3 seeds, where the interval is known at 95 % only, and where it
        has no width.
    """
    interval, value = measurement.interval, measurement.value
    if measurement.n < LEAST_SEEDS or interval is None or value is None or math.isnan(value):
        return None
    if measurement.lo == measurement.hi:
        return None
    small, large = math.log(_LEAST_P), 0.0
    for _ in range(_HALVINGS):
        middle = (small + large) / 2
        if within(interval(-math.expm1(middle)), needed) == "inconclusive":
            small = middle
        else:
            large = middle
    return math.exp(large)
