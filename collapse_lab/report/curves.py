"""Metrics over generations: one panel per metric, subsets side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from collapse_lab.report.plot import Caption, Legend, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, marker, palette
from collapse_lab.results.collect import Collection, short, shown
from collapse_lab.results.names import THEORY, Name
from collapse_lab.results.series import MOST_LINES, Series, floor, lines, over_generations

MOST_PANELS = 60


def legend_of(collection: Collection) -> Legend:
    """The lines by the values of what was swept; their colours a ramp where that is one number."""
    entries = lines(collection)
    title = ", ".join("experiment" if knob == "name" else short(knob) for knob in collection.knobs) or "model"
    labels = [", ".join(map(shown, cell.knobs.values())) or label for label, cell, _ in entries]
    inks = palette(len(entries), ordered=collection.dose is not None and len(collection.knobs) == 1)
    return Legend(title, labels, inks)


def first_section(collection: Collection) -> Section | None:
    """The metric of the headline."""
    return _section(collection, "Generation by generation", _leading(collection))


def key_section(collection: Collection) -> Section | None:
    """The other metrics that tell the story: fidelity, diversity, agreement with the prompt."""
    rest = [n for n in collection.names if n.is_key and n not in _leading(collection)]
    return _section(collection, "Fidelity, diversity and agreement", rest)


def other_section(collection: Collection) -> Section | None:
    """All metrics that no section above has, but for the parts of pictures that have a section of their own."""
    above = _leading(collection)
    rest = [n for n in collection.names if not (n.is_key or n in above or n.is_part)]
    return _section(collection, "All other metrics", rest, folded=True)


def leading(collection: Collection) -> Name | None:
    """The metric of the headline: the first FID, or else the first metric there is."""
    return next((n for n in collection.names if n.metric == "fid"), next(iter(collection.names), None))


def _leading(collection: Collection) -> list[Name]:
    first = leading(collection)
    return [] if first is None else _siblings(first, collection.names)


def _section(collection: Collection, title: str, names: list[Name], folded: bool = False) -> Section | None:
    if not names:
        return None
    legend = legend_of(collection)
    plots = [
        plot(
            lambda ax, name=name: draw(ax, collection, name, legend.inks),  # type: ignore[misc]
            Caption.of(name),
            stem("curve", name.key),
            row=f"{name.features}/{name.metric}",
            legend=legend,
        )
        for name in names[:MOST_PANELS]
    ]
    columns = max(len(_siblings(name, names)) for name in names)
    return Section.of_plots(title, plots, _note(collection, len(names)), legend, columns, folded)


def _note(collection: Collection, metrics: int) -> str:
    parts = []
    if any(len(cell.runs) > 1 for cell in collection.cells):
        parts.append("Lines are means over seeds, bands their 95\u00a0% t-intervals, cut at the panel's edge.")
    else:
        parts.append("Band: 95\u00a0% interval over samples.")
    if len(collection.cells) > MOST_LINES:
        parts.append(f"{MOST_LINES} of {len(collection.cells):,} cells are drawn, at even distances.")
    if metrics > MOST_PANELS:
        parts.append(f"{MOST_PANELS} of {metrics} metrics are drawn; the CSV has all.")
    return " ".join(parts)


def draw(ax: Axes, collection: Collection, name: Name, inks: Sequence[tuple[str, str]]) -> None:
    """Draws the lines of one metric with their bands, its floor, and a cross where a run diverged."""
    found = over_generations(collection, name.key)
    for series in found:
        _line(ax, series, inks[series.rank][0])
    told = over_generations(collection, name.key + THEORY)
    for series in told:
        label = "theory" if series is told[-1] else None
        _theory(ax, series, inks[series.rank][0], label)
    between = floor(collection, name.key)
    # A band of two or three seeds can be far wider than the curves: it may be cut, the means may not.
    values = [*(between or ()), *(float(v) for series in found + told for v in series.mean)]
    if values:
        ax.set_ylim(*limits(values, name.top))
    if found:
        first, last = min(s.x[0] for s in found), max(s.x[-1] for s in found)
        pad = 0.045 * ((last - first) or 1)
        ax.set_xlim(first - pad, last + pad)
    if between is not None:
        mark_floor(ax, between)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("generation")


def _theory(ax: Axes, series: Series, colour: str, label: str | None) -> None:
    """A dotted line, wider than the measured one, so that it is seen around it where the two agree."""
    ax.plot(series.x, series.mean, color=colour, linestyle=(0, (1, 1.6)), linewidth=4, alpha=0.45, zorder=2)
    if label:
        ax.annotate(
            label,
            (series.x[-1], series.mean[-1]),
            xytext=(-2, 6),
            textcoords="offset points",
            ha="right",
            color=MUTED,
            fontsize=7.5,
        )


def mark_floor(ax: Axes, between: tuple[float, float]) -> None:
    """A dashed line with the span of all runs, its label where fewest lines pass."""
    level = sum(between) / 2
    if between[1] > between[0]:
        ax.axhspan(*between, color=MUTED, alpha=0.18, linewidth=0)
    right, above = _clear(ax, level)
    ax.axhline(level, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    ax.annotate(
        "real vs real",
        (1 if right else 0, level),
        xycoords=("axes fraction", "data"),
        xytext=(0 if right else 3, 2 if above else -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom" if above else "top",
        color=MUTED,
        fontsize=7.5,
    )


def _clear(ax: Axes, level: float) -> tuple[bool, bool]:
    """(at the right, above the line) of the corner by `level` where a label hides least."""
    (left, right), (least, greatest) = ax.get_xlim(), ax.get_ylim()
    near = 0.14 * (greatest - least)
    grid = np.linspace(left, right, 40)
    drawn = [(np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)) for line in ax.lines]
    # Each line's points, and what it passes through between them.
    x = np.concatenate([grid[:0], *(np.concatenate([a, grid]) for a, _ in drawn)])
    y = np.concatenate([grid[:0], *(np.concatenate([b, np.interp(grid, a, b, np.nan, np.nan)]) for a, b in drawn)])
    found = {}
    for at_right, above in ((True, True), (True, False), (False, True), (False, False)):
        over = (y - level) * (1 if above else -1)
        beside = x > right - 0.3 * (right - left) if at_right else x < left + 0.3 * (right - left)
        outside = level + near > greatest if above else level - near < least
        found[at_right, above] = (outside, int((beside & (over > -0.02 * near) & (over < near)).sum()))
    return min(found, key=lambda corner: found[corner])


def limits(values: Sequence[float], top: float | None) -> tuple[float, float]:
    """Limits that hold all `values`: [0, 1] for a share, from 0 where no value is below it."""
    least, greatest = min(values), max(values)
    if top is not None and least >= 0:
        return (0.0, top * 1.03)
    span = (greatest - least) or abs(greatest) or 1.0
    return (0.0 if 0 <= least < 0.6 * greatest else least - 0.08 * span, greatest + 0.12 * span)


def _line(ax: Axes, series: Series, colour: str) -> None:
    shape = marker(series.rank) if len(series.x) <= 30 else ""
    # Axes.plot and fill_between work out limits, units and colours for each line; here all of these are known.
    ax.add_line(Line2D(series.x, series.mean, color=colour, marker=shape, markeredgewidth=0, zorder=3))
    known = np.isfinite(series.lo) & np.isfinite(series.hi)
    if known.any():
        x, lo, hi = series.x[known], series.lo[known], series.hi[known]
        band = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([lo, hi[::-1]])], axis=1)
        ax.add_patch(Polygon(band, facecolor=colour, alpha=0.16, linewidth=0))
    if series.diverged:
        ax.plot(series.x[-1], series.mean[-1], marker="x", color=colour, markersize=9, markeredgewidth=2, zorder=4)
        ax.annotate(
            "diverged",
            (series.x[-1], series.mean[-1]),
            xytext=(-9, 3),
            textcoords="offset points",
            ha="right",
            color=colour,
        )


def _siblings(name: Name, names: Sequence[Name]) -> list[Name]:
    return [n for n in names if (n.features, n.metric) == (name.features, name.metric)]
