"""Statistics of the values themselves: at a generation, beside another number, and step by step.

The ledger's interval is over what one run has many of: the replicas of a toy family, or the images of a model. Over
replicas it includes all randomness. Over the images of one training it does not, so where a statistic uses it because
there is no second run, its note says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from collapse_lab.results.intervals import LEVEL
from collapse_lab.results.run import Run
from collapse_lab.results.series import final, point, value
from collapse_lab.verify.measured import ONE_RUN, Measured, geometric_mean_of, mean_of
from collapse_lab.verify.pairing import runs_left_out
from collapse_lab.verify.statistics import GroupName, Groups, MetricName


class Range(NamedTuple):
    """Hold a value and the half width of its 95 % interval."""

    value: float
    half: float


def level(groups: Groups, metric: MetricName, group: GroupName, generation: int | None = None) -> Measured:
    """Return mean(y) over the runs of one group.

    The interval is Student's t, or that of the ledger where there is a single run.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        generation: The generation; None takes the last one of each run.
    """
    runs = [run for run in groups[group] if value(run, metric, _at(run, metric, generation)) is not None]
    if not runs:
        return Measured(None, note=f"no run has {metric}{_when(generation)}")
    left_out = len(groups[group]) - len(runs)
    if len(runs) > 1:
        return mean_of([point([run], metric, generation)[0] for run in runs], _noted(left_out))
    mean, lo, hi = point(runs, metric, generation)
    known = math.isfinite(lo)
    return Measured(mean, lo if known else None, hi if known else None, 1, _noted(left_out, alone=known))


def share_of_level(
    groups: Groups, metric: MetricName, other: MetricName, group: GroupName, generation: int
) -> Measured:
    """Return exp(mean(log(x / y))) over the runs of one group, x and y two metrics of the same generation.

    Args:
        groups: The runs of each group.
        metric: The metric x, above 0.
        other: The metric y that is divided by, above 0.
        group: The group.
        generation: The generation.
    """
    found = [(value(run, metric, generation), value(run, other, generation)) for run in groups[group]]
    known = [(x, y) for x, y in found if x is not None and y is not None]
    if not known:
        return Measured(None, note=f"no run has {metric} and {other} at generation {generation}")
    x, y = np.asarray(known, float).T
    return geometric_mean_of(x, y, _noted(len(found) - len(known)))


def largest_step(
    groups: Groups, metric: MetricName, group: GroupName, since: int = 0, until: int | None = None
) -> Measured:
    """Return mean(max_g (y_{g+1} - y_g)) over the runs of one group; it is below 0 where y falls in every generation.

    A single run has an interval of its own. The intervals of all its steps hold together (Bonferroni), and successive
    values count as independent, which makes the intervals too wide where a chain passes its error on to the next
    generation.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        since: The first generation.
        until: The last generation; None takes the last one of each run.
    """
    steps = [_steps(run, metric, since, final(run, metric) if until is None else until) for run in groups[group]]
    known = [steps_of_run for steps_of_run in steps if steps_of_run]
    left_out = len(steps) - len(known)
    if not known:
        return Measured(None, note=f"no run has {metric} at every generation from {since}{_when(until, ' to ')}")
    if len(known) > 1:
        return mean_of([max(step.value for step in steps_of_run) for steps_of_run in known], _noted(left_out))
    (only,) = known
    largest = max(step.value for step in only)
    if any(math.isnan(step.half) for step in only):
        return Measured(largest, n=1, note=_noted(left_out))
    return Measured(largest, *_together(only), 1, _noted(left_out, alone=True))


def _steps(run: Run, metric: str, since: int, until: int) -> list[Range]:
    """Return y_{g+1} - y_g from one generation to another; no steps where one of the values was not measured."""
    points = [point([run], metric, g) for g in range(since, until + 1)]
    if any(math.isnan(mean) for mean, _, _ in points):
        return []
    means, halves = [mean for mean, _, _ in points], [(hi - lo) / 2 for _, lo, hi in points]
    return [Range(means[i + 1] - means[i], math.hypot(halves[i], halves[i + 1])) for i in range(len(points) - 1)]


def _together(ranges: Sequence[Range]) -> tuple[float, float]:
    """Return the ends of a 95 % interval for the largest of m numbers, each of which has an interval of its own."""
    wider = float(ndtri(1 - (1 - LEVEL) / 2 / len(ranges)) / ndtri((1 + LEVEL) / 2))
    return max(r.value - wider * r.half for r in ranges), max(r.value + wider * r.half for r in ranges)


def _at(run: Run, metric: str, generation: int | None) -> int:
    return final(run, metric) if generation is None else generation


def _when(generation: int | None, word: str = " at generation ") -> str:
    return "" if generation is None else f"{word}{generation}"


def _noted(left_out: int, alone: bool = False) -> str:
    return ", ".join(filter(None, (runs_left_out(left_out), ONE_RUN if alone else "")))
