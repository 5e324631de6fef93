"""How much every cell differs from the control, paired by seed: as a figure, and as a table with effect sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from collapse_lab.report.plot import Caption, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, palette
from collapse_lab.report.summary import number
from collapse_lab.report.tables import Field
from collapse_lab.results.collect import Cell, Collection, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.paired import Difference, controls, paired
from collapse_lab.results.series import evenly
from collapse_lab.types import Estimate

MOST_PANELS = 6
MOST_ROWS = 12
MOST_LINES = 240
ROW = 0.38  # inches
INTERVALS = " Bars are 95\u00a0% t-intervals over seeds, cut at the panel's edge."

Pair = tuple[Cell, Cell]  # a cell and its control
Row = tuple[Cell, Difference]


def section(collection: Collection) -> Section | None:
    """A point and an interval for each cell; None where there is nothing to compare."""
    cells = _pairs(collection)
    if not cells:
        return None
    drawn = [cells[i] for i in evenly(len(cells), MOST_ROWS)]
    plots = []
    for name in _metrics(collection)[:MOST_PANELS]:
        rows = [(cell, found) for cell, found in _rows(drawn, name) if found.mean is not None]
        if rows:
            caption = Caption(name.plain, name.where, f"{_space(name)}right of 0 is {_right(name)}")
            plots.append(
                plot(
                    lambda ax, rows=rows: _draw(ax, rows),  # type: ignore[misc]
                    caption,
                    stem("difference", name.key),
                    row=f"{name.features}/{name.metric}",
                    height=0.75 + ROW * len(drawn),
                )
            )
    if not plots:
        return None
    note = f"Cell less {_against(collection, cells)}, at the last generation that both have."
    single = all(len(cell.runs) == 1 for cell, _ in drawn)
    note += " One seed: no interval." if single else INTERVALS
    note += f" {len(drawn)} of {len(cells):,} cells are drawn." if len(drawn) < len(cells) else ""
    subsets = len({name.subset for name in _metrics(collection)[:MOST_PANELS]})
    return Section.of_plots("Difference from the control, paired by seed", plots, note, columns=subsets)


def table(collection: Collection) -> Section | None:
    """The same as numbers, with effect sizes."""
    cells = _pairs(collection)
    names = _metrics(collection)
    listed = [cells[i] for i in evenly(len(cells), max(1, MOST_LINES // max(len(names), 1)))] if cells else []
    rows = [_line(cell, name, found) for name in names for cell, found in _rows(listed, name)]
    if not rows:
        return None
    knobs = ["experiment" if knob == "name" else short(knob) for knob in collection.knobs]
    header = ["metric", *knobs, "pairs", "control", "difference", "95 % interval", "relative", "effect size"]
    header += ["its 95 % interval", "note"]
    note = (
        f"Cell less {_against(collection, cells)}. Effect size: Hedges' g of the paired differences, the mean in units "
        "of their spread between seeds, from 3 pairs on."
    )
    note += f" {len(listed)} of {len(cells):,} cells are listed." if len(listed) < len(cells) else ""
    context = {"header": header, "rows": rows, "foot": []}
    return Section("Differences and effect sizes", "table.html.j2", context, note, folded=True)


def _metrics(collection: Collection) -> list[Name]:
    return [name for name in collection.names if name.is_key]


def _pairs(collection: Collection) -> list[Pair]:
    pairs = zip(collection.cells, controls(collection), strict=True)
    return [(cell, control) for cell, control in pairs if cell is not control]


def _rows(pairs: Sequence[Pair], name: Name) -> list[Row]:
    return [(cell, paired(cell.runs, control.runs, name.key)) for cell, control in pairs]


def _against(collection: Collection, pairs: Sequence[Pair]) -> str:
    """What the cells are compared with, in words."""
    if len({id(control) for _, control in pairs}) > 1 and collection.dose is not None:
        return f"the cell of {short(collection.dose)} 0 that has the same other settings"
    return pairs[0][1].label


def _space(name: Name) -> str:
    return f"{name.space} · " if name.space else ""


def _right(name: Name) -> str:
    return {"lower": "worse", "higher": "better"}.get(name.better, "more")


def _draw(ax: Axes, rows: Sequence[Row]) -> None:
    ink = palette(1, ordered=False)[0][0]
    least, greatest = _limits([found.mean for _, found in rows if found.mean is not None])
    for place, (cell, found) in enumerate(rows):
        if found.mean is None:
            continue
        lo, hi = (found.mean.value if end is None else end for end in (found.mean.lo, found.mean.hi))
        ax.hlines(-place, lo, hi, color=ink, linewidth=1.6, alpha=0.7)
        ax.plot(found.mean.value, -place, "o", color=ink, markeredgewidth=0, zorder=3)
        ax.annotate(
            cell.label,
            (0, -place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 4),
            textcoords="offset points",
            fontsize=7.5,
        )
    ax.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    aside = min(0.4, 0.02 * max(len(cell.label) for cell, _ in rows)) * (greatest - least)
    ax.set_xlim(least - aside, greatest)
    ax.set_ylim(-len(rows) + 0.5, 0.7)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel("difference")


def _limits(means: Sequence[Estimate]) -> tuple[float, float]:
    """They hold 0, every mean, and half of the intervals: one of two seeds can be a hundred times as wide."""
    ends = [tuple(m.value if end is None else end for end in (m.lo, m.hi)) for m in means]
    reach = max(1.6 * max(abs(m.value) for m in means), 1.1 * float(np.median([max(map(abs, e)) for e in ends])))
    least = min(0.0, *(max(lo, -reach) for lo, _ in ends))
    greatest = max(0.0, *(min(hi, reach) for _, hi in ends))
    margin = 0.06 * (greatest - least) or 1.0
    return (least - margin, greatest + margin)


def _line(cell: Cell, name: Name, found: Difference) -> list[Field]:
    relative = found.relative
    return [
        _text(" ".join(filter(None, (name.short, name.where, name.features)))),
        *(Field(shown(v), v if isinstance(v, int | float) else str(v)) for v in cell.knobs.values()),
        Field(str(found.n), found.n),
        _value(found.baseline),
        _value(None if found.mean is None else found.mean.value),
        _interval(found.mean),
        Field("–" if relative is None else f"{100 * relative:+.3g} %", float("nan") if relative is None else relative),
        _value(None if found.effect is None else found.effect.value),
        _interval(found.effect),
        _text(found.note),
    ]


def _text(text: str) -> Field:
    return Field(text, text, numeric=False)


def _value(value: float | None) -> Field:
    return Field("–" if value is None else number(value), float("nan") if value is None else value)


def _interval(estimate: Estimate | None) -> Field:
    if estimate is None or estimate.lo is None or estimate.hi is None:
        return _value(None)
    return Field(f"{number(estimate.lo)} to {number(estimate.hi)}", estimate.lo)
