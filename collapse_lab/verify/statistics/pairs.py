"""Statistics of two cells, paired by seed, and of two generations of one cell, paired by run.

Intervals are Student's t over the pairs. A single pair has that of its two ledger intervals, taken for independent; it
is within the runs, over samples and not over seeds, and the note says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from collapse_lab.results.collect import Run
from collapse_lab.results.intervals import of_mean
from collapse_lab.results.paired import Pairs, pairs
from collapse_lab.results.paired import ratio as times
from collapse_lab.results.series import point, value
from collapse_lab.types import Estimate
from collapse_lab.verify.measured import ONE_RUN, Measured
from collapse_lab.verify.statistics import CellName, Cells, MetricName


def difference(
    cells: Cells, metric: MetricName, cell: CellName, control: CellName, generation: int | None = None
) -> Measured:
    """mean(x_s - y_s), x of a cell and y of its control, s their common seeds."""
    found = pairs(cells[cell], cells[control], metric, generation)
    ends = _single(cells[cell], metric, generation), _single(cells[control], metric, generation)
    return _measured(found, of_mean(found.x - found.y) if len(found) else None, _apart(*ends))


def ratio(
    cells: Cells, metric: MetricName, cell: CellName, control: CellName, generation: int | None = None
) -> Measured:
    """exp(mean(log(x_s / y_s))): how many times its control a cell is."""
    found = pairs(cells[cell], cells[control], metric, generation)
    ends = _single(cells[cell], metric, generation), _single(cells[control], metric, generation)
    return _measured(found, times(found), _times(*ends))


def change(cells: Cells, metric: MetricName, cell: CellName, since: int, until: int) -> Measured:
    """mean(y_until - y_since) over the chains of one cell."""
    found = _along(cells[cell], metric, since, until)
    ends = _single(cells[cell], metric, until), _single(cells[cell], metric, since)
    return _measured(found, of_mean(found.x - found.y) if len(found) else None, _apart(*ends))


def growth(cells: Cells, metric: MetricName, cell: CellName, since: int, until: int) -> Measured:
    """exp(mean(log(y_until / y_since))) over the chains of one cell: how many times its earlier value."""
    found = _along(cells[cell], metric, since, until)
    ends = _single(cells[cell], metric, until), _single(cells[cell], metric, since)
    return _measured(found, times(found), _times(*ends))


def _along(runs: Sequence[Run], metric: str, since: int, until: int) -> Pairs:
    ends = [(value(run, metric, until), value(run, metric, since)) for run in runs]
    known = [(late, early) for late, early in ends if late is not None and early is not None]
    x, y = np.asarray(known, float).reshape(-1, 2).T
    return Pairs(metric, until, x, y, len(runs) - len(known))


def _single(runs: Sequence[Run], metric: str, generation: int | None) -> Estimate:
    """Value and interval of the one run that there is; NaN of several, or where they are not known."""
    return Estimate(*point(runs, metric, generation)) if len(runs) == 1 else Estimate(math.nan, math.nan, math.nan)


def _apart(x: Estimate, y: Estimate) -> Estimate:
    """x - y, of independent estimates."""
    half = math.hypot(_half(x), _half(y))
    return Estimate(x.value - y.value, x.value - y.value - half, x.value - y.value + half)


def _times(x: Estimate, y: Estimate) -> Estimate:
    """x / y, of independent estimates above 0, whose intervals are taken on the scale of logarithms."""
    ends = [end for each in (x, y) for end in (each.value, each.lo, each.hi)]
    if not all(end is not None and end > 0 for end in ends):
        return Estimate(math.nan, math.nan, math.nan)
    found = _apart(*(Estimate(*(math.log(end) for end in (e.value, e.lo, e.hi) if end is not None)) for e in (x, y)))
    return Estimate(*(math.exp(end) for end in (found.value, found.lo, found.hi) if end is not None))


def _half(estimate: Estimate) -> float:
    return math.nan if estimate.lo is None or estimate.hi is None else (estimate.hi - estimate.lo) / 2


def _measured(found: Pairs, estimate: Estimate | None, single: Estimate) -> Measured:
    note = f"{found.left_out} run{'s' if found.left_out > 1 else ''} left out" if found.left_out else ""
    if estimate is None:
        when = f"generation {found.generation}" if found.generation >= 0 else "any generation"
        lacking = "no ratio: a value is not above 0" if len(found) else f"no pair of runs has {found.metric} at {when}"
        return Measured(None, note=lacking)
    if estimate.lo is None and single.lo is not None and math.isfinite(single.lo):
        return Measured(estimate.value, single.lo, single.hi, 1, ONE_RUN)
    return Measured(estimate.value, estimate.lo, estimate.hi, len(found), note)
