"""What a statistic found, what a claim needs of it, and the one rule that judges by the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ONE_RUN = "one run: the interval is within it, over replicas or samples"

Verdict = Literal["reproduced", "not reproduced", "inconclusive", "not run"]


@dataclass(frozen=True)
class Measured:
    """A number over n chains, or n pairs of chains, with its 95 % interval.

    value: None where the runs do not have what the statistic is about.
    lo, hi: None where so few chains have no interval.
    note: what the reader must know of it, e.g. "1 run left out".
    """

    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0
    note: str = ""


@dataclass(frozen=True)
class Needed:
    """The range [low, high] of a statistic in which the claim is true; at least one end is finite.

    low and high are the smallest effects that count, not the values of the paper: a claim of a rise needs at least so
    much of it.
    """

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


def judge(measured: Measured, needed: Needed) -> tuple[Verdict, str]:
    """The verdict, and its reason in words.

    reproduced: the whole interval lies in the needed range. not reproduced: none of it does. inconclusive: it lies
    across an end of the range, or there is none. not run: there is no value.
    """
    value, lo, hi = measured.value, measured.lo, measured.hi
    if value is None:
        return "not run", measured.note or "no run has what it takes"
    if lo is None or hi is None:
        few = "one seed gives" if measured.n == 1 else f"{measured.n} seeds give"
        return "inconclusive", f"{few} no interval: run more"
    if needed.low <= lo and hi <= needed.high:
        return "reproduced", f"the whole interval is {needed}"
    if hi < needed.low or lo > needed.high:
        return "not reproduced", f"none of the interval is {needed}"
    ends = [f"{end:g}" for end in (needed.low, needed.high) if lo <= end <= hi]
    return "inconclusive", f"the interval reaches across {' and '.join(ends)}: run more seeds"
