"""The smallest of several measured ratios, with an interval that holds for all of them together."""

from __future__ import annotations

import math
from collections.abc import Mapping

from collapse_lab.types import Estimate
from collapse_lab.verify.measured import Measured, measured


def smallest_of(ratios: Mapping[str, Measured]) -> Measured:
    """Return the smallest of several ratios, or the first one that has no value or no interval.

    The smallest is above a limit where each is, so that its lower end is the smallest of the lower ends. Its upper end
    is the smallest of upper ends that hold together (Bonferroni). n is the smallest number of seeds.

    Args:
        ratios: The ratio of each group, by the group's name; one or more.
    """
    unknown = next((ratio for ratio in ratios.values() if ratio.value is None or ratio.interval is None), None)
    if unknown is not None:
        return unknown
    smallest = min(ratios, key=lambda name: _value(ratios[name]))

    def least(confidence: float) -> Estimate:
        lows = [estimate.lo for estimate in _intervals(ratios, confidence)]
        highs = [estimate.hi for estimate in _intervals(ratios, 1 - (1 - confidence) / len(ratios))]
        low, high = (min(end for end in ends if end is not None) for ends in (lows, highs))
        return Estimate(_value(ratios[smallest]), low, high)

    n = min(ratio.n for ratio in ratios.values())
    notes = [f"smallest in {smallest}", *(ratio.note for ratio in ratios.values() if ratio.note)]
    return measured(least, n, ", ".join(dict.fromkeys(notes)), "linear")


def _intervals(ratios: Mapping[str, Measured], confidence: float) -> list[Estimate]:
    return [ratio.interval(confidence) for ratio in ratios.values() if ratio.interval is not None]


def _value(ratio: Measured) -> float:
    return math.inf if ratio.value is None else ratio.value
