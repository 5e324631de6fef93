"""Dose and response: each key metric at the end of the chain against the swept number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.report.section import Section
from collapse_lab.report.style import MARKERS, MUTED, inline, marker, palette, panel, styled
from collapse_lab.results.collect import Cell, Collection, labelled, short
from collapse_lab.results.names import Name
from collapse_lab.results.series import floor, point

MOST_PANELS = 6


def section(collection: Collection) -> Section | None:
    """None where no numeric knob was swept."""
    knob = collection.dose
    if knob is None:
        return None
    groups = _groups(collection, knob)
    inks = palette(len(groups), ordered=False)
    panels = []
    for name in [n for n in collection.names if n.is_key][:MOST_PANELS]:
        figure, ax = panel()
        with styled():
            _draw(ax, collection, name, knob, groups, [light for light, _ in inks])
        title = f"{name.plain}, {name.where or 'all'}, against {short(knob)}"
        panels.append((name, inline(figure, title, inks, prefix="d")))
    legend = [(f"d{i}", MARKERS.index(marker(i)), label) for i, label in enumerate(groups)] if len(groups) > 1 else []
    note = f"Each metric at the last generation of a chain, against {short(knob)}."
    if any(len(cell.runs) > 1 for cell in collection.cells):
        note += " Points are means over seeds, bars their 95\u00a0% t-intervals."
    context = {"panels": panels, "legend": legend, "columns": len({n.subset for n, _ in panels})}
    return Section("Dose and response", "panels.html.j2", context, note)


def inks_needed(collection: Collection) -> list[tuple[str, str]]:
    """The colours that this section's lines take, as (on light, on dark)."""
    return palette(len(_groups(collection, collection.dose)), ordered=False) if collection.dose else []


def _groups(collection: Collection, knob: str) -> dict[str, list[Cell]]:
    """Cells that differ in `knob` alone, by the label of all their other knobs."""
    groups: dict[str, list[Cell]] = {}
    for cell in collection.cells:
        rest = labelled({k: v for k, v in cell.knobs.items() if k != knob})
        groups.setdefault(rest, []).append(cell)
    return groups


def _draw(
    ax: Axes,
    collection: Collection,
    name: Name,
    knob: str,
    groups: dict[str, list[Cell]],
    inks: Sequence[str],
) -> None:
    doses = sorted({float(cell.knobs[knob]) for cell in collection.cells})
    place = positions(doses)
    for i, cells in enumerate(groups.values()):
        x = np.asarray([place[float(cell.knobs[knob])] for cell in cells])
        order = np.argsort(x)
        mean, lo, hi = np.asarray([point(cell.runs, name.key, None) for cell in cells])[order].T
        ax.plot(x[order], mean, color=inks[i], marker=marker(i), markeredgewidth=0, zorder=3)
        ax.vlines(x[order], lo, hi, color=inks[i], alpha=0.55, linewidth=1.4)
    between = floor(collection, name.key)
    if between is not None:
        ax.axhline(sum(between) / 2, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    shown = doses if len(doses) <= 8 else [doses[i] for i in np.linspace(0, len(doses) - 1, 6).astype(int)]
    ax.set_xticks([place[d] for d in shown], [f"{d:g}" for d in shown])
    if name.top is not None:
        ax.set_ylim(0, name.top * 1.03)
    elif ax.get_ylim()[0] < 0 or name.better == "lower":
        ax.set_ylim(bottom=min(0.0, *(v for line in ax.lines for v in np.asarray(line.get_ydata(), float))))
    ax.set_xlabel(short(knob))


def positions(doses: Sequence[float]) -> dict[float, float]:
    """Where each dose stands on the axis: by its logarithm beyond one decade, 0 a step left of the smallest.

    A logarithm has no 0, yet the control at 0 is the point that all others are read against.
    """
    positive = [d for d in doses if d > 0]
    if min(doses) < 0 or not positive or max(positive) / min(positive) <= 10:
        return {d: float(d) for d in doses}
    at_zero = np.log10(min(positive)) - 0.7
    return {d: float(np.log10(d)) if d > 0 else float(at_zero) for d in doses}
