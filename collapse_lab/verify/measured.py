"""What a statistic measured, what a claim needs of it, and the one rule that judges by the two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from collapse_lab.results.intervals import LEVEL, of_mean, of_ratio, of_times
from collapse_lab.types import Estimate

LEAST_SEEDS = 3  # with two seeds the t-interval reaches over 12.7 standard errors, so that it decides next to nothing
ONE_RUN = "one run: the interval is within it, over replicas or samples"

Verdict = Literal["reproduced", "not reproduced", "inconclusive", "not run"]
Interval = Callable[[float], Estimate]


@dataclass(frozen=True)
class Measured:
    """Hold a number over n chains, or over n pairs of chains, with its 95 % interval.

    Attributes:
        value: The number; None where the runs do not have what the statistic is about.
        lo: The lower end of the interval; None where the chains are too few for an interval.
        hi: The upper end; None where the chains are too few.
        n: The number of chains or of pairs.
        note: What the reader must know of the number, e.g. "1 run left out".
        interval: The estimate at another confidence than 95 %; None where it is known at 95 % only.
        scale: Of which number the interval is a t-interval: "linear" of the value, "log" of its logarithm. None means
            that it is of another kind, such as that of a median.
    """

    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0
    note: str = ""
    interval: Interval | None = field(default=None, compare=False, repr=False)
    scale: Literal["linear", "log"] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Needed:
    """Hold the range [low, high] of a statistic in which the claim is true; at least one end is finite.

    The ends are the smallest effects that count, not the values of the paper: a claim that something rises needs a
    rise of at least `low`.
    """

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


def measured(interval: Interval, n: int, note: str = "", scale: Literal["linear", "log"] | None = None) -> Measured:
    """Return a number with its interval at 95 %, and at any other confidence.

    Args:
        interval: The estimate at a confidence.
        n: The number of chains or of pairs.
        note: What the reader must know.
        scale: As `Measured` has it.
    """
    estimate = interval(LEVEL)
    known = estimate.lo is not None and estimate.hi is not None
    if known and estimate.lo == estimate.hi:
        note = ", ".join(filter(None, (note, f"all {n} are equal, so the interval has no width")))
    return Measured(estimate.value, estimate.lo, estimate.hi, n, note, interval if known else None, scale)


def mean_of(values: Sequence[float] | np.ndarray, note: str = "") -> Measured:
    """Return the mean over chains or pairs with its t-interval; there is one value or more."""
    return measured(lambda confidence: of_mean(values, confidence), len(values), note, "linear")


def geometric_mean_of(x: np.ndarray, y: np.ndarray, note: str = "") -> Measured:
    """Return exp(mean(log(x / y))) over pairs, with the t-interval of the logarithms.

    Args:
        x: The values (n,), one or more.
        y: The values to divide by (n,).
        note: What the reader must know.

    Returns:
        The ratio; no value where one of the numbers is not above 0.
    """
    if of_times(x, y) is None:
        return Measured(None, note="no ratio: a value is not above 0")
    return measured(lambda confidence: of_times(x, y, confidence) or Estimate(math.nan), len(x), note, "log")


def ratio_of(x: np.ndarray, y: np.ndarray, note: str = "") -> Measured:
    """Return mean(x) / mean(y) over pairs with its interval of Fieller; without interval where mean(y) is not above 0.

    Args:
        x: The values (n,), one or more.
        y: The values to divide by (n,), such as how much worse a control is than real images.
        note: What the reader must know.
    """
    if float(np.mean(y)) <= 0:
        below = f"there is nothing to divide by: the denominator is {float(np.mean(y)):.3g}, and not above 0"
        return Measured(math.nan, n=len(x), note=", ".join(filter(None, (note, below))))
    return measured(lambda confidence: of_ratio(x, y, confidence), len(x), note, "linear")


def judge(measurement: Measured, needed: Needed) -> tuple[Verdict, str]:
    """Return the verdict, and its reason in words.

    reproduced: The whole interval over three seeds or more lies in the needed range.
    not reproduced: No part of the interval over three seeds or more lies in the needed range.
    inconclusive: The interval lies across an end of the range, there is no interval, or the seeds are fewer than three.
    not run: There is no value.

    Args:
        measurement: What the statistic measured.
        needed: The range in which the claim is true.
    """
    value, lo, hi, n = measurement.value, measurement.lo, measurement.hi, measurement.n
    if value is None:
        return "not run", measurement.note or "no run has the values that the statistic needs"
    if n < LEAST_SEEDS:
        return "inconclusive", f"{'one seed' if n == 1 else f'{n} seeds'}: a verdict needs {LEAST_SEEDS} or more"
    if lo is None or hi is None or math.isnan(value):
        return "inconclusive", measurement.note or f"{n} seeds give no interval: run more"
    verdict = within(Estimate(value, lo, hi), needed)
    if verdict == "reproduced":
        return verdict, f"the whole interval is {needed}"
    if verdict == "not reproduced":
        return verdict, f"no part of the interval is {needed}"
    ends = [f"{end:g}" for end in (needed.low, needed.high) if lo <= end <= hi]
    return verdict, f"the interval reaches across {' and '.join(ends)}: run more seeds"


def within(estimate: Estimate, needed: Needed) -> Verdict:
    """Return the verdict that an interval alone gives."""
    if estimate.lo is None or estimate.hi is None:
        return "inconclusive"
    if needed.low <= estimate.lo and estimate.hi <= needed.high:
        return "reproduced"
    return "not reproduced" if estimate.hi < needed.low or estimate.lo > needed.high else "inconclusive"
