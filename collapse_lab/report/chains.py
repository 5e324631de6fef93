"""Each chain in a few numbers: rate, time to collapse, half-life; and over a sweep the dose that does it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.report.tables import Field
from collapse_lab.results.chains import MULTIPLE, half_life, rate, threshold, time_to_collapse
from collapse_lab.results.collect import Cell, Collection, Run, short, shown
from collapse_lab.results.doses import responses
from collapse_lab.results.intervals import of_mean, of_median
from collapse_lab.results.names import Name
from collapse_lab.results.series import along, evenly, floor_of
from collapse_lab.types import Estimate

EFFECT = 0.5  # of the control's value
DOSED = ("fid", "recall")  # the risk and the modes: what falls by half of a share near 1, or rises without bound
MOST_LINES = 240


def section(collection: Collection) -> Section | None:
    """A line for each cell and key metric; None where no chain has two generations."""
    names = [name for name in collection.names if name.is_key and name.better] if collection.last > 0 else []
    cells = [collection.cells[i] for i in evenly(len(collection.cells), max(1, MOST_LINES // max(len(names), 1)))]
    rows = [_line(cell, name) for name in names for cell in cells if _measured(cell, name)]
    if not rows:
        return None
    knobs = ["experiment" if knob == "name" else short(knob) for knob in collection.knobs]
    header = ["metric", *knobs, "chains", "rate", "95 % interval", "time to collapse", "half-life"]
    note = (
        "Rate: change per generation, the median slope between two generations (Theil and Sen), and the interval of "
        "its mean over seeds; of a single chain, of its slopes, from 5 generations on. Time to collapse: the first "
        f"generation that stays beyond {MULTIPLE:g} times the floor (below the floor divided by {MULTIPLE:g} where "
        "more is better). Half-life: generations until half of the value of generation 0. Times are medians over "
        "seeds; “never” is later than the last generation."
    )
    if len(cells) < len(collection.cells):
        note += f" {len(cells)} of {len(collection.cells):,} cells are listed."
    context = {"header": header, "rows": rows, "foot": []}
    return Section("Summary of each chain", "table.html.j2", context, note, folded=True)


def thresholds(collection: Collection) -> Section | None:
    """The dose at which each key metric has a stated effect; None where no dose was swept from 0."""
    dose = collection.dose
    names = [name for name in collection.names if name.is_key and name.metric in DOSED]
    found = [(name, response) for name in names for response in responses(collection, name.key)]
    rows = []
    for name, response in found:
        effect = EFFECT * response.control
        if effect > 0:
            at = threshold(response.doses, response.harm, effect)
            told = "–" if at.lo is None else f"{number(at.lo)} to {_until(at.hi, response.doses[-1])}"
            label = [_text(response.label)] if any(r.label for _, r in found) else []
            seeds = response.harm.shape[1]
            end = _beyond(response.doses[-1]) if at.dose is None else Field(number(at.dose), at.dose)
            rows.append(
                [_text(_named(name)), *label, Field(str(seeds), seeds), Field(number(effect), effect), end, _text(told)]
            )
    if not rows or dose is None:
        return None
    others = ["at"] if any(response.label for _, response in found) else []
    header = ["metric", *others, "seeds", "effect", f"{short(dose)} that reaches it", "95 % interval"]
    note = (
        f"The smallest {short(dose)} at which a metric is worse than the control by half of the control's value, with "
        "the interval of the paired difference beyond 0; interpolated between the doses that were run. The interval "
        "holds every dose whose difference may be just that."
    )
    return Section(f"Threshold of {short(dose)}", "table.html.j2", {"header": header, "rows": rows, "foot": []}, note)


def _measured(cell: Cell, name: Name) -> bool:
    return any(len(along(run, name.key)[0]) > 1 for run in cell.runs)


def _line(cell: Cell, name: Name) -> list[Field]:
    chains = [along(run, name.key) for run in cell.runs]
    slopes = [slope for x, y in chains if (slope := rate(x, y)) is not None]
    mean = slopes[0] if len(slopes) == 1 else of_mean([slope.value for slope in slopes])
    collapsed = [_collapse(run, name) for run in cell.runs if (floor_of(run, name.key) or 0) > 0]
    halves = [half_life(x, y) for x, y in chains if len(x)] if name.better == "higher" else []
    return [
        _text(_named(name)),
        *(Field(shown(v), v if isinstance(v, int | float) else str(v)) for v in cell.knobs.values()),
        Field(str(len(slopes)), len(slopes)),
        Field(number(mean.value), mean.value),
        _interval(mean),
        _time(collapsed),
        _time(halves),
    ]


def _collapse(run: Run, name: Name) -> float | None:
    return time_to_collapse(*along(run, name.key), floor_of(run, name.key) or 0.0, name.better)


def _time(times: Sequence[float | None]) -> Field:
    """The median, and where some chains get there and others do not, how many."""
    if not times:
        return Field("–", math.nan)
    median, reached = of_median(times).value, sum(t is not None for t in times)
    told = "never" if math.isinf(median) else number(median)
    return Field(told if reached in (0, len(times)) else f"{told} ({reached} of {len(times)})", median)


def _interval(estimate: Estimate) -> Field:
    if estimate.lo is None or estimate.hi is None:
        return Field("–", math.nan)
    return Field(f"{number(estimate.lo)} to {number(estimate.hi)}", estimate.lo)


def _beyond(largest: float) -> Field:
    return Field(f"not up to {number(largest)}", math.inf)


def _until(hi: float | None, largest: float) -> str:
    return f"beyond {number(largest)}" if hi is None or math.isinf(hi) else number(hi)


def _named(name: Name) -> str:
    return " ".join(filter(None, (name.short, name.where, name.features)))


def _text(text: str) -> Field:
    return Field(text, text, numeric=False)
