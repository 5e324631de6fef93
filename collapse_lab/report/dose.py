"""Dose and response: each key metric at the end of the chain against the swept number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.report.curves import limits, mark_floor
from collapse_lab.report.plot import Caption, Legend, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import marker, palette
from collapse_lab.results.collect import Cell, Collection, labelled, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point

MOST_PANELS = 6
MOST_GROUPS = 8


def section(collection: Collection) -> Section | None:
    """None where no numeric knob was swept."""
    knob = collection.dose
    if knob is None:
        return None
    groups = _groups(collection, knob)
    drawn = {label: groups[label] for label in (list(groups)[i] for i in evenly(len(groups), MOST_GROUPS))}
    others = [k for k in collection.knobs if k != knob]
    ramp = len(others) == 1 and all(isinstance(c.knobs[others[0]], int | float) for c in collection.cells)
    values = [", ".join(shown(v) for k, v in cells[0].knobs.items() if k != knob) for cells in drawn.values()]
    title = ", ".join("experiment" if k == "name" else short(k) for k in others)
    legend = Legend(title, values, palette(len(drawn), ordered=ramp))
    names = [n for n in collection.names if n.is_key][:MOST_PANELS]
    plots = [
        plot(
            lambda ax, name=name: _draw(ax, collection, name, knob, drawn, legend),  # type: ignore[misc]
            Caption.of(name),
            stem("dose", knob, name.key),
            row=f"{name.features}/{name.metric}",
            legend=legend,
        )
        for name in names
    ]
    if not plots:
        return None
    note = f"Each metric at the last generation of a chain, against {short(knob)}."
    if any(len(cell.runs) > 1 for cell in collection.cells):
        note += " Points are means over seeds, bars their 95\u00a0% t-intervals."
    else:
        note += " Bars: 95\u00a0% intervals over samples."
    if len(drawn) < len(groups):
        note += f" {len(drawn)} of {len(groups):,} lines are drawn."
    return Section.of_plots("Dose and response", plots, note, legend, len({n.subset for n in names}))


def _groups(collection: Collection, knob: str) -> dict[str, list[Cell]]:
    """Cells that differ in `knob` alone, by the label of all their other knobs."""
    groups: dict[str, list[Cell]] = {}
    for cell in collection.cells:
        rest = labelled({k: v for k, v in cell.knobs.items() if k != knob})
        groups.setdefault(rest, []).append(cell)
    return groups


def _draw(
    ax: Axes, collection: Collection, name: Name, knob: str, groups: dict[str, list[Cell]], legend: Legend
) -> None:
    doses = sorted({float(cell.knobs[knob]) for cell in collection.cells})
    place = positions(doses)
    between = floor(collection, name.key)
    values = list(between or ())
    for i, cells in enumerate(groups.values()):
        x = np.asarray([place[float(cell.knobs[knob])] for cell in cells])
        order = np.argsort(x)
        mean, lo, hi = np.asarray([point(cell.runs, name.key, None) for cell in cells])[order].T
        ink = legend.inks[i][0]
        ax.plot(x[order], mean, color=ink, marker=marker(i), markeredgewidth=0, zorder=3)
        ax.vlines(x[order], lo, hi, color=ink, alpha=0.55, linewidth=1.4)
        # Beyond the range of a share there is nothing to see: such a bar is cut.
        ends = np.concatenate([mean, *(np.clip(v, 0, name.top) if name.top else v for v in (lo, hi))])
        values += [float(v) for v in ends if np.isfinite(v)]
    if values:
        ax.set_ylim(*limits(values, name.top))
    if between is not None:
        mark_floor(ax, between)
    ticks = _apart(place)
    ax.set_xticks([place[d] for d in ticks], [f"{d:g}" for d in ticks])
    ax.set_xlabel(short(knob))


def _apart(place: dict[float, float]) -> list[float]:
    """The doses whose labels have room, both ends among them."""
    first, last = (end(place, key=lambda dose: place[dose]) for end in (min, max))
    letter = 0.022 * (place[last] - place[first])  # a letter's share of the axis

    def clear(a: float, b: float) -> bool:
        return abs(place[a] - place[b]) >= letter * (1 + (len(f"{a:g}") + len(f"{b:g}")) / 2)

    kept = [first]
    for dose in sorted(place):
        if clear(dose, kept[-1]) and clear(dose, last):
            kept.append(dose)
    return sorted({*kept, last})


def positions(doses: Sequence[float]) -> dict[float, float]:
    """Where each dose stands on the axis: by its logarithm beyond one decade, 0 a step left of the smallest.

    A logarithm has no 0, yet the control at 0 is the point that all others are read against.
    """
    positive = [d for d in doses if d > 0]
    if min(doses) < 0 or not positive or max(positive) / min(positive) <= 10:
        return {d: float(d) for d in doses}
    at_zero = np.log10(min(positive)) - 0.7
    return {d: float(np.log10(d)) if d > 0 else float(at_zero) for d in doses}
