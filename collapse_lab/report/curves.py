"""Metrics over generations: one panel per metric, subsets side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.report.section import Section
from collapse_lab.report.style import MARKERS, MUTED, inline, marker, palette, panel, styled
from collapse_lab.results.collect import Collection, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import Series, floor, lines, over_generations


def colours(collection: Collection) -> list[tuple[str, str]]:
    """(on light, on dark) of each line: a ramp where one numeric knob was swept."""
    return palette(len(lines(collection)), ordered=collection.dose is not None and len(collection.knobs) == 1)


def figure(collection: Collection, metrics: Sequence[str] = ()) -> Figure:
    """A figure fit for a paper: a panel for each of `metrics` (default: the first FID) and one legend.

    Raises:
        UserError: no run has a metric of that name.
    """
    known = {name.key: name for name in collection.names}
    first = leading(collection)
    chosen = list(metrics) or ([first.key] if first else [])
    if not chosen:
        raise UserError("these runs measured nothing: there is no metric to draw")
    for metric in chosen:
        if metric not in known:
            raise UserError(f"no run has a metric '{metric}': {did_you_mean(metric, known)}")
    with styled():
        drawn = Figure(figsize=(3.6 * len(chosen) + 1.3, 3.1), layout="constrained")
        axes = drawn.subplots(1, len(chosen), squeeze=False)[0]
        inks = colours(collection)
        for ax, metric in zip(axes, chosen, strict=True):
            name = known[metric]
            draw(ax, collection, name, inks, _limits(collection, name))
            better = f", {name.better} is better" if name.better else ""
            ax.set_title(name.plain + better + (f"\n{name.where}" if name.where else ""))
        entries = lines(collection)
        if len(entries) > 1:
            swept = ", ".join(short(knob) for knob in collection.knobs) or "model"
            values = [", ".join(map(shown, cell.knobs.values())) or label for label, cell, _ in entries]
            handles = [
                Line2D([], [], color=inks[i][0], marker=marker(i), label=value) for i, value in enumerate(values)
            ]
            drawn.legend(handles=handles, title=swept, loc="outside right center")
        return drawn


def save(collection: Collection, path: Path, metrics: Sequence[str] = ()) -> Path:
    """Writes `figure` to `path`, in the format that its ending names, and returns `path`.

    Raises:
        UserError: no such metric, no such format, or `path` cannot be written.
    """
    drawn = figure(collection, metrics)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with styled():
            drawn.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        raise UserError(f"the figure cannot be written to '{path}': {error}") from error
    return path


def first_section(collection: Collection) -> Section | None:
    """The metric of the headline."""
    return _section(collection, "Generation by generation", _leading(collection))


def key_section(collection: Collection) -> Section | None:
    """The other metrics that tell the story: fidelity, diversity, agreement with the prompt."""
    rest = [n for n in collection.names if n.is_key and n not in _leading(collection)]
    return _section(collection, "Fidelity, diversity and agreement", rest)


def other_section(collection: Collection) -> Section | None:
    """All metrics that no section above has."""
    above = _leading(collection)
    return _section(
        collection,
        "All other metrics",
        [n for n in collection.names if not n.is_key and n not in above],
        folded=True,
    )


def leading(collection: Collection) -> Name | None:
    """The metric of the headline: the first FID, or else the first metric there is."""
    return next((n for n in collection.names if n.metric == "fid"), next(iter(collection.names), None))


def _leading(collection: Collection) -> list[Name]:
    first = leading(collection)
    return [] if first is None else _siblings(first, collection.names)


def _section(collection: Collection, title: str, names: list[Name], folded: bool = False) -> Section | None:
    if not names:
        return None
    entries = lines(collection)
    legend = [(f"s{i}", MARKERS.index(marker(i)), label) for i, (label, _, _) in enumerate(entries)]
    note = "Band: 95\u00a0% interval over samples." if len(collection.runs) == 1 else ""
    if any(len(cell.runs) > 1 for cell in collection.cells):
        note = "Lines are means over seeds, bands their 95\u00a0% t-intervals, cut at the panel's edge."
    if len(entries) < len(collection.cells):
        note += f" {len(entries)} of {len(collection.cells)} cells are drawn."
    context = {
        "panels": svg_panels(collection, names),
        "legend": legend if len(entries) > 1 else [],
        "columns": max(len(_siblings(name, names)) for name in names),
    }
    return Section(title, "panels.html.j2", context, note, folded)


def svg_panels(collection: Collection, names: Sequence[Name]) -> list[tuple[Name, str]]:
    """Each metric with its panel as an <svg> element for the page."""
    inks = colours(collection)
    panels = []
    for name in names:
        drawn, ax = panel()
        with styled():
            draw(ax, collection, name, inks, _limits(collection, name))
        panels.append((name, inline(drawn, f"{name.plain}, {name.where or 'all'}, over generations", inks)))
    return panels


def draw(
    ax: Axes,
    collection: Collection,
    name: Name,
    inks: Sequence[tuple[str, str]],
    limits: tuple[float, float] | None,
) -> None:
    """Draws the lines of one metric with their bands, its floor, and a cross where a run diverged."""
    for series in over_generations(collection, name.key):
        _line(ax, series, inks[series.rank][0])
    if limits is not None:
        ax.set_ylim(*limits)
    between = floor(collection, name.key)
    if between is not None:
        _floor(ax, sum(between) / 2)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("generation")


def _floor(ax: Axes, level: float) -> None:
    """A dashed line, its label on the side where fewer lines end."""
    least, greatest = ax.get_ylim()
    ends = [float(np.asarray(line.get_ydata(), float)[-1]) for line in ax.lines]
    near = 0.14 * (greatest - least)
    crowded = sum(0 <= end - level < near for end in ends) > sum(0 < level - end < near for end in ends)
    below = crowded and level - near > least
    ax.axhline(level, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    ax.annotate(
        "real vs real",
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, -2 if below else 2),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        color=MUTED,
        fontsize=7.5,
    )


def _line(ax: Axes, series: Series, colour: str) -> None:
    shape = marker(series.rank) if len(series.x) <= 30 else ""
    ax.plot(series.x, series.mean, color=colour, marker=shape, markeredgewidth=0, zorder=3)
    if np.isfinite(series.lo).any():
        ax.fill_between(series.x, series.lo, series.hi, color=colour, alpha=0.16, linewidth=0)
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


def _limits(collection: Collection, name: Name) -> tuple[float, float] | None:
    """Limits that hold every line and the floor: [0, 1] for a share, from 0 where no value is below it."""
    values = list(floor(collection, name.key) or ())
    for series in over_generations(collection, name.key):
        # A band of two or three seeds can be far wider than the curves: it may be cut, the means may not.
        values += [float(v) for v in series.mean]
    if not values:
        return None
    least, greatest = min(values), max(values)
    if name.top is not None and least >= 0:
        return (0.0, name.top * 1.03)
    span = (greatest - least) or abs(greatest) or 1.0
    return (0.0 if 0 <= least < 0.6 * greatest else least - 0.08 * span, greatest + 0.12 * span)
