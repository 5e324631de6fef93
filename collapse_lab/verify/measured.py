"""What a statistic measured, what a claim needs of it, and the one rule that judges by the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ONE_RUN = "one run: the interval is within it, over replicas or samples"

Verdict = Literal["reproduced", "not reproduced", "inconclusive", "not run"]


@dataclass(frozen=True)
class Measured:
    """Hold a number over n chains, or over n pairs of chains, with its 95 % interval.

    Attributes:
        value: The number; None where the runs do not have what the statistic is about.
        lo: The lower end of the interval; None where the chains are too few for an interval.
        hi: The upper end; None where the chains are too few.
        n: The number of chains or of pairs.
        note: What the reader must know of the number, e.g. "1 run left out".
    """

    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0
    note: str = ""


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


def judge(measured: Measured, needed: Needed) -> tuple[Verdict, str]:
    """Return the verdict, and its reason in words.

    reproduced: The whole interval lies in the needed range.
    not reproduced: No part of the interval lies in the needed range.
    inconclusive: The interval lies across an end of the range, or there is no interval.
    not run: There is no value.

    Args:
        measured: What the statistic measured.
        needed: The range in which the claim is true.
    """
    value, lo, hi = measured.value, measured.lo, measured.hi
    if value is None:
        return "not run", measured.note or "no run has the values that the statistic needs"
    if lo is None or hi is None:
        few = "one seed gives" if measured.n == 1 else f"{measured.n} seeds give"
        return "inconclusive", f"{few} no interval: run more"
    if needed.low <= lo and hi <= needed.high:
        return "reproduced", f"the whole interval is {needed}"
    if hi < needed.low or lo > needed.high:
        return "not reproduced", f"no part of the interval is {needed}"
    ends = [f"{end:g}" for end in (needed.low, needed.high) if lo <= end <= hi]
    return "inconclusive", f"the interval reaches across {' and '.join(ends)}: run more seeds"
