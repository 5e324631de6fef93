"""Statistics of the values themselves, with the ledger's own intervals: at a generation, beside theory, step by step.

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


def level_of_sum(groups: Groups, metric: MetricName, other: MetricName, group: GroupName, generation: int) -> Measured:
    """Return mean(x + y) over the runs of one group, x and y two metrics of the same generation.

    Args:
        groups: The runs of each group.
        metric: The metric x.
        other: The metric y, such as another part of a variance.
        group: The group.
        generation: The generation.
    """
    pairs = [(value(run, metric, generation), value(run, other, generation)) for run in groups[group]]
    sums = [x + y for x, y in pairs if x is not None and y is not None]
    if not sums:
        return Measured(None, note=f"no run has {metric} and {other} at generation {generation}")
    return mean_of(sums, _noted(len(pairs) - len(sums)))


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


def departure(groups: Groups, metric: MetricName, group: GroupName, until: int | None = None) -> Measured:
    """Return max_g |mean(y_g) / theory_g - 1| over the generations 0 to `until`, y_g the mean over one group's runs.

    theory_g is the ledger's `<metric>_theory`. The intervals of all generations hold together (Bonferroni),
    so the largest departure lies between the largest of their distances' lower ends and the largest of the upper ends.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        until: The last generation; None takes the last one that all runs with a theory have.
    """
    runs, theory = groups[group], f"{metric}_theory"
    known = [run for run in runs if final(run, theory) >= (until or 0)]
    last = min((final(run, theory) for run in known), default=-1) if until is None else until
    apart = [_apart(known, metric, theory, g) for g in range(last + 1)] if known else []
    departures = [distance for distance in apart if distance is not None]
    if not departures or len(departures) < len(apart):
        return Measured(None, note=f"no run has {metric} with its interval beside {theory}{_when(until, ' up to ')}")
    low, high = _together(departures)
    largest = max(departure.value for departure in departures)
    return Measured(largest, max(low, 0.0), high, len(known), _noted(len(runs) - len(known)))


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


def _apart(runs: Sequence[Run], metric: str, theory: str, generation: int) -> Range | None:
    """Return |mean(y) / theory - 1| over runs with independent intervals; None where one of them has no interval."""
    points, expected = [point([run], metric, generation) for run in runs], value(runs[0], theory, generation)
    if not expected or any(math.isnan(lo) for _, lo, _ in points):
        return None
    mean = sum(y for y, _, _ in points) / len(points)
    half = math.hypot(*((hi - lo) / 2 for _, lo, hi in points)) / len(points)
    return Range(abs(mean / expected - 1), half / abs(expected))


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
