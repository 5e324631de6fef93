"""Statistics of two cells, paired by seed, and of two generations of one cell, paired by run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.results.collect import Run
from collapse_lab.results.intervals import of_mean
from collapse_lab.results.paired import Pairs, pairs
from collapse_lab.results.paired import ratio as times
from collapse_lab.results.series import value
from collapse_lab.types import Estimate
from collapse_lab.verify.measured import Measured
from collapse_lab.verify.statistics import CellName, Cells, MetricName


def difference(
    cells: Cells, metric: MetricName, cell: CellName, control: CellName, generation: int | None = None
) -> Measured:
    """mean(x_s - y_s), x of a cell and y of its control, s their common seeds."""
    found = pairs(cells[cell], cells[control], metric, generation)
    return _measured(found, of_mean(found.x - found.y) if len(found) else None)


def ratio(
    cells: Cells, metric: MetricName, cell: CellName, control: CellName, generation: int | None = None
) -> Measured:
    """exp(mean(log(x_s / y_s))): how many times its control a cell is."""
    found = pairs(cells[cell], cells[control], metric, generation)
    return _measured(found, times(found))


def change(cells: Cells, metric: MetricName, cell: CellName, since: int, until: int) -> Measured:
    """mean(y_until - y_since) over the chains of one cell."""
    found = _along(cells[cell], metric, since, until)
    return _measured(found, of_mean(found.x - found.y) if len(found) else None)


def growth(cells: Cells, metric: MetricName, cell: CellName, since: int, until: int) -> Measured:
    """exp(mean(log(y_until / y_since))) over the chains of one cell: how many times its earlier value."""
    found = _along(cells[cell], metric, since, until)
    return _measured(found, times(found))


def _along(runs: Sequence[Run], metric: str, since: int, until: int) -> Pairs:
    ends = [(value(run, metric, until), value(run, metric, since)) for run in runs]
    known = [(late, early) for late, early in ends if late is not None and early is not None]
    x, y = np.asarray(known, float).reshape(-1, 2).T
    return Pairs(metric, until, x, y, len(runs) - len(known))


def _measured(found: Pairs, estimate: Estimate | None) -> Measured:
    note = f"{found.left_out} run{'s' if found.left_out > 1 else ''} left out" if found.left_out else ""
    if estimate is None:
        when = f"generation {found.generation}" if found.generation >= 0 else "any generation"
        lacking = "no ratio: a value is not above 0" if len(found) else f"no pair of runs has {found.metric} at {when}"
        return Measured(None, note=lacking)
    return Measured(estimate.value, estimate.lo, estimate.hi, len(found), note)
