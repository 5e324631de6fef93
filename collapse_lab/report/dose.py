"""Dose and response: each key metric at the end of the chain, over the number that was swept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.report.curves import limits, mark_floor
from collapse_lab.report.plot import Caption, Legend, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import marker, palette
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point
from collapse_lab.results.settings import labelled, short, shown, title_of

MOST_PANELS = 6
MOST_LINES = 8

Lines = dict[str, list[SeedGroup]]  # the seed groups on each line, by the label of the line


def section(collection: Collection) -> Section | None:
    """Return a panel for each key metric, with a line for each combination of the other settings.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no numeric knob was swept.
    """
    knob = collection.dose
    if knob is None:
        return None
    lines = _lines(collection, knob)
    drawn = {label: lines[label] for label in (list(lines)[i] for i in evenly(len(lines), MOST_LINES))}
    others = [other for other in collection.knobs if other != knob]
    one_number = len(others) == 1 and all(
        isinstance(group.knobs[others[0]], int | float) for group in collection.seed_groups
    )
    labels = [
        ", ".join(shown(value) for other, value in groups[0].knobs.items() if other != knob)
        for groups in drawn.values()
    ]
    legend = Legend(", ".join(map(title_of, others)), labels, palette(len(drawn), ordered=one_number))
    names = [name for name in collection.names if name.is_key][:MOST_PANELS]
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
    notes = [f"Each metric at the last generation of a chain, for each value of {short(knob)}."]
    if collection.too:
        notes.append(f"A change need not come from {short(knob)}: {collection.too}.")
    if any(len(group.runs) > 1 for group in collection.seed_groups):
        notes.append("Points are means over seeds, and bars are their 95\u00a0% t-intervals.")
    else:
        notes.append("Bars are 95\u00a0% intervals over samples.")
    if len(drawn) < len(lines):
        notes.append(f"{len(drawn)} of {len(lines):,} lines are drawn.")
    columns = len({name.subset for name in names})
    return Section.of_plots("Dose and response", plots, " ".join(notes), legend, columns)


def positions(doses: Sequence[float]) -> dict[float, float]:
    """Return where each dose stands on the axis.

    Doses over more than one decade are placed by their logarithm. A logarithm has no 0, but the control at 0 is the
    point that all others are compared with, so 0 is placed one step left of the smallest dose.

    Args:
        doses: The doses, at least one.

    Returns:
        The position of each dose.
    """
    positive = [dose for dose in doses if dose > 0]
    if min(doses) < 0 or not positive or max(positive) / min(positive) <= 10:
        return {dose: float(dose) for dose in doses}
    at_zero = np.log10(min(positive)) - 0.7
    return {dose: float(np.log10(dose)) if dose > 0 else float(at_zero) for dose in doses}


def _lines(collection: Collection, knob: str) -> Lines:
    """Return the seed groups that differ in `knob` alone, by the label of all their other knobs."""
    lines: Lines = {}
    for group in collection.dosed:
        label = labelled({other: value for other, value in group.knobs.items() if other != knob})
        lines.setdefault(label, []).append(group)
    return lines


def _draw(ax: Axes, collection: Collection, name: Name, knob: str, lines: Lines, legend: Legend) -> None:
    doses = sorted({float(group.knobs[knob]) for group in collection.dosed})
    place = positions(doses)
    span = floor(collection, name.key)
    values = list(span or ())
    for i, groups in enumerate(lines.values()):
        x = np.asarray([place[float(group.knobs[knob])] for group in groups])
        order = np.argsort(x)
        mean, lo, hi = np.asarray([point(group.runs, name.key, None) for group in groups])[order].T
        ink = legend.inks[i][0]
        ax.plot(x[order], mean, color=ink, marker=marker(i), markeredgewidth=0, zorder=3)
        ax.vlines(x[order], lo, hi, color=ink, alpha=0.55, linewidth=1.4)
        # A share cannot lie outside its range, so cut a bar off there.
        ends = np.concatenate([mean, *(np.clip(v, 0, name.top) if name.top else v for v in (lo, hi))])
        values += [float(v) for v in ends if np.isfinite(v)]
    if values:
        ax.set_ylim(*limits(values, name.top))
    if span is not None:
        mark_floor(ax, span, name.floor_of[0])
    ticks = _labelled_doses(place)
    ax.set_xticks([place[dose] for dose in ticks], [f"{dose:g}" for dose in ticks])
    ax.set_xlabel(short(knob))


def _labelled_doses(place: dict[float, float]) -> list[float]:
    """Return the doses whose labels have room on the axis; the first and the last are always among them."""
    first, last = (end(place, key=lambda dose: place[dose]) for end in (min, max))
    letter = 0.022 * (place[last] - place[first])  # the width of one letter on the axis

    def has_room(a: float, b: float) -> bool:
        return abs(place[a] - place[b]) >= letter * (1 + (len(f"{a:g}") + len(f"{b:g}")) / 2)

    kept = [first]
    for dose in sorted(place):
        if has_room(dose, kept[-1]) and has_room(dose, last):
            kept.append(dose)
    return sorted({*kept, last})
