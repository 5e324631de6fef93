"""Statistics of the values themselves, with the ledger's own intervals: at a generation, beside theory, step by step.

The ledger's interval is over what a run has many of: the replicas of a toy family, the images of a model. Over replicas
it is all the chance that there is. Over the images of one training it is not, and where a statistic falls back on it
for lack of a second run, its note says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import ndtri

from collapse_lab.results.collect import Run
from collapse_lab.results.intervals import LEVEL, of_mean
from collapse_lab.results.series import final, point, value
from collapse_lab.verify.measured import ONE_RUN, Measured
from collapse_lab.verify.statistics import CellName, Cells, MetricName


class Range(NamedTuple):
    """A value and the half width of its 95 % interval."""

    value: float
    half: float


def level(cells: Cells, metric: MetricName, cell: CellName, generation: int | None = None) -> Measured:
    """mean(y) over the runs of one cell, at a generation or at the end of each: Student's t, or a single run's own."""
    runs = [run for run in cells[cell] if value(run, metric, _at(run, metric, generation)) is not None]
    if not runs:
        return Measured(None, note=f"no run has {metric}{_when(generation)}")
    mean, lo, hi = point(runs, metric, generation)
    known = math.isfinite(lo)
    note = _noted(len(cells[cell]) - len(runs), alone=len(runs) == 1 and known)
    return Measured(mean, lo if known else None, hi if known else None, len(runs), note)


def departure(cells: Cells, metric: MetricName, cell: CellName, until: int | None = None) -> Measured:
    """max_g |mean(y_g) / theory_g - 1| over the generations up to one, y_g the mean over the runs of one cell.

    theory_g is what the ledger has as `<metric>_theory`. The intervals of all generations hold together (Bonferroni),
    so the largest departure lies between the largest of their least distances from 0 and that of their greatest.
    """
    runs, theory = cells[cell], f"{metric}_theory"
    known = [run for run in runs if final(run, theory) >= (until or 0)]
    last = min((final(run, theory) for run in known), default=-1) if until is None else until
    apart = [_apart(known, metric, theory, g) for g in range(last + 1)] if known else []
    found = [each for each in apart if each is not None]
    if not found or len(found) < len(apart):
        return Measured(None, note=f"no run has {metric} with its interval beside {theory}{_when(until, ' up to ')}")
    low, high = _together(found)
    return Measured(max(each.value for each in found), max(low, 0.0), high, len(known), _noted(len(runs) - len(known)))


def largest_step(
    cells: Cells, metric: MetricName, cell: CellName, since: int = 0, until: int | None = None
) -> Measured:
    """mean(max_g (y_{g+1} - y_g)) over the runs of one cell: below 0 where it falls in every generation.

    A single run has its own interval: those of all its steps hold together (Bonferroni), and successive values count
    as independent, which makes them too wide where one chain carries over into the next.
    """
    steps = [_steps(run, metric, since, final(run, metric) if until is None else until) for run in cells[cell]]
    known = [each for each in steps if each]
    left_out = len(steps) - len(known)
    if not known:
        return Measured(None, note=f"no run has {metric} at every generation from {since}{_when(until, ' to ')}")
    if len(known) > 1:
        found = of_mean([max(step.value for step in each) for each in known])
        return Measured(found.value, found.lo, found.hi, len(known), _noted(left_out))
    (steps_of_one,) = known
    step = max(each.value for each in steps_of_one)
    if any(math.isnan(each.half) for each in steps_of_one):
        return Measured(step, n=1, note=_noted(left_out))
    return Measured(step, *_together(steps_of_one), 1, _noted(left_out, alone=True))


def _steps(run: Run, metric: str, since: int, until: int) -> list[Range]:
    """y_{g+1} - y_g from a generation to another; none where one of them was not measured."""
    found = [point([run], metric, g) for g in range(since, until + 1)]
    if any(math.isnan(mean) for mean, _, _ in found):
        return []
    halves = [(hi - lo) / 2 for _, lo, hi in found]
    return [Range(found[i + 1][0] - found[i][0], math.hypot(halves[i], halves[i + 1])) for i in range(len(found) - 1)]


def _apart(runs: Sequence[Run], metric: str, theory: str, generation: int) -> Range | None:
    """|mean(y) / theory - 1| over runs, whose intervals are independent; None where one of them has none."""
    found, expected = [point([run], metric, generation) for run in runs], value(runs[0], theory, generation)
    if not expected or any(math.isnan(lo) for _, lo, _ in found):
        return None
    mean = sum(each[0] for each in found) / len(found)
    half = math.hypot(*((hi - lo) / 2 for _, lo, hi in found)) / len(found)
    return Range(abs(mean / expected - 1), half / abs(expected))


def _together(ranges: Sequence[Range]) -> tuple[float, float]:
    """The ends of a 95 % interval for the largest of m numbers, each known with its own."""
    wider = float(ndtri(1 - (1 - LEVEL) / 2 / len(ranges)) / ndtri((1 + LEVEL) / 2))
    return max(r.value - wider * r.half for r in ranges), max(r.value + wider * r.half for r in ranges)


def _at(run: Run, metric: str, generation: int | None) -> int:
    return final(run, metric) if generation is None else generation


def _when(generation: int | None, word: str = " at generation ") -> str:
    return "" if generation is None else f"{word}{generation}"


def _noted(left_out: int, alone: bool = False) -> str:
    parts = [f"{left_out} run{'s' if left_out > 1 else ''} left out"] if left_out else []
    return ", ".join([*parts, *([ONE_RUN] if alone else [])])
