"""Differences from the control, paired by seed: as a figure, and as a table with effect sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from collapse_lab.report.fields import Field, interval_field, knob_fields, metric_field, number_field, text_field
from collapse_lab.report.plot import Caption, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, palette
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.multiplicity import holm
from collapse_lab.results.names import Name
from collapse_lab.results.paired import Difference, controls, paired
from collapse_lab.results.series import evenly
from collapse_lab.results.settings import joined, short, title_of
from collapse_lab.types import Estimate

MOST_PANELS = 6
MOST_ROWS = 12
MOST_LINES = 240
ROW = 0.38  # inches

GroupAndControl = tuple[SeedGroup, SeedGroup]
Row = tuple[SeedGroup, Difference]


def section(collection: Collection) -> Section | None:
    """Return a figure with a point and an interval for each configuration.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no configuration has a control.
    """
    compared = _with_controls(collection)
    if not compared:
        return None
    drawn = [compared[i] for i in evenly(len(compared), MOST_ROWS)]
    names = _key_names(collection)[:MOST_PANELS]
    plots = []
    for name in names:
        rows = [(group, difference) for group, difference in _rows(drawn, name) if difference.mean is not None]
        if rows:
            space = f"{name.space} · " if name.space else ""
            caption = Caption(name.title, name.where, f"{space}right of 0 is {_meaning_of_right(name)}")
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
    notes = [f"{_what_is_subtracted(collection, compared)} The values are of the last generation that both have."]
    if all(len(group.runs) == 1 for group, _ in drawn):
        notes.append("There is one seed, so there are no intervals.")
    else:
        notes.append("Bars are 95\u00a0% t-intervals over seeds, cut off at the panel's edge.")
    if len(drawn) < len(compared):
        notes.append(f"{len(drawn)} of {len(compared):,} configurations are drawn.")
    columns = len({name.subset for name in names})
    return Section.of_plots("Difference from the control, paired by seed", plots, " ".join(notes), columns=columns)


def table(collection: Collection) -> Section | None:
    """Return the differences of all key metrics as a table with effect sizes.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no configuration has a control.
    """
    compared = _with_controls(collection)
    names = _key_names(collection)
    most_groups = max(1, MOST_LINES // max(len(names), 1))
    listed = [compared[i] for i in evenly(len(compared), most_groups)] if compared else []
    found = [(group, name, difference) for name in names for group, difference in _rows(listed, name)]
    if not found:
        return None
    adjusted = holm([difference.p for *_, difference in found])
    rows = [_line(*row, p) for row, p in zip(found, adjusted, strict=True)]
    knobs = map(title_of, collection.knobs)
    header = ["metric", *knobs, "pairs", "control", "difference", "95 % interval", "p", "p after Holm"]
    header += ["relative", "effect size", "its 95 % interval", "note"]
    note = (
        f"{_what_is_subtracted(collection, compared)} Effect size: Hedges' g of the paired differences, which is "
        "their mean in units of their spread between seeds, from 3 pairs on. p: Student's t-test of the pairs, from 2 "
        f"pairs on; after Holm, corrected for the {sum(p is not None for p in adjusted):,} comparisons of this table."
    )
    note += f" {len(listed)} of {len(compared):,} configurations are listed." if len(listed) < len(compared) else ""
    context = {"header": header, "rows": rows, "foot": []}
    return Section("Differences and effect sizes", "table.html.j2", context, note, folded=True)


def _key_names(collection: Collection) -> list[Name]:
    return [name for name in collection.names if name.is_key]


def _with_controls(collection: Collection) -> list[GroupAndControl]:
    """Return each seed group with its control, without the controls themselves."""
    with_controls = zip(collection.seed_groups, controls(collection), strict=True)
    return [(group, control) for group, control in with_controls if group is not control]


def _rows(compared: Sequence[GroupAndControl], name: Name) -> list[Row]:
    return [(group, paired(group.runs, control.runs, name.key)) for group, control in compared]


def _what_is_subtracted(collection: Collection, compared: Sequence[GroupAndControl]) -> str:
    """Return a sentence that says which difference is shown."""
    if len({id(control) for _, control in compared}) > 1 and collection.dose is not None:
        control_label = f"{short(collection.dose)} 0 with the same other settings"
    else:
        control_label = compared[0][1].label
    named = joined([title_of(knob) for knob in collection.knobs])
    too = f" A difference need not come from {named} alone: {collection.too}." if collection.too else ""
    return f"Each configuration minus its control, which is {control_label}.{too}"


def _meaning_of_right(name: Name) -> str:
    return {"lower": "worse", "higher": "better"}.get(name.better, "more")


def _draw(ax: Axes, rows: Sequence[Row]) -> None:
    ink = palette(1, ordered=False)[0][0]
    left, right = _limits([difference.mean for _, difference in rows if difference.mean is not None])
    for place, (group, difference) in enumerate(rows):
        mean = difference.mean
        if mean is None:
            continue
        lo, hi = (mean.value if end is None else end for end in (mean.lo, mean.hi))
        ax.hlines(-place, lo, hi, color=ink, linewidth=1.6, alpha=0.7)
        ax.plot(mean.value, -place, "o", color=ink, markeredgewidth=0, zorder=3)
        ax.annotate(
            group.label,
            (0, -place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 4),
            textcoords="offset points",
            fontsize=7.5,
        )
    ax.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    room_for_labels = min(0.4, 0.02 * max(len(group.label) for group, _ in rows)) * (right - left)
    ax.set_xlim(left - room_for_labels, right)
    ax.set_ylim(-len(rows) + 0.5, 0.7)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel("difference")


def _limits(means: Sequence[Estimate]) -> tuple[float, float]:
    """Return axis limits that hold 0, every mean and half of the intervals.

    The interval of two seeds can be a hundred times as wide as that of three, so it may be cut off.
    """
    ends = [tuple(mean.value if end is None else end for end in (mean.lo, mean.hi)) for mean in means]
    half_reach = float(np.median([max(map(abs, of_one)) for of_one in ends]))
    reach = max(1.6 * max(abs(mean.value) for mean in means), 1.1 * half_reach)
    left = min(0.0, *(max(lo, -reach) for lo, _ in ends))
    right = max(0.0, *(min(hi, reach) for _, hi in ends))
    margin = 0.06 * (right - left) or 1.0
    return (left - margin, right + margin)


def _line(group: SeedGroup, name: Name, difference: Difference, adjusted: float | None) -> list[Field]:
    relative = difference.relative
    return [
        metric_field(name),
        *knob_fields(group.knobs),
        Field(str(difference.n), difference.n),
        number_field(difference.control),
        number_field(None if difference.mean is None else difference.mean.value),
        interval_field(difference.mean),
        number_field(difference.p),
        number_field(adjusted),
        number_field(None) if relative is None else Field(f"{100 * relative:+.3g} %", relative),
        number_field(None if difference.effect is None else difference.effect.value),
        interval_field(difference.effect),
        text_field(difference.note),
    ]
