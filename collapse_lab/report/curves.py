"""Metrics over generations: one panel for each metric, the panels of its prompt sets side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from collapse_lab.report.plot import Caption, Legend, plot, stem
from collapse_lab.report.readings import part_of_line
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, marker, palette
from collapse_lab.results.collect import Collection
from collapse_lab.results.names import THEORY, Name
from collapse_lab.results.series import MOST_LINES, MOST_POINTS, Series, floor, is_thinned, lines, over_generations
from collapse_lab.results.settings import shown, title_of

MOST_PANELS = 60
THINNED = f"A line shows at most {MOST_POINTS} generations, at even distances; collapse-lab report --csv writes all."


def legend_of(collection: Collection) -> Legend:
    """Return the legend of all lines, labelled by the values of the knobs.

    Args:
        collection: The runs of the page.

    Returns:
        The legend. Its colours are a ramp where a single numeric knob was swept, and distinct hues otherwise.
    """
    entries = lines(collection)
    title = ", ".join(map(title_of, collection.knobs)) or "model"
    labels = [", ".join(map(shown, group.knobs.values())) or label for label, group, _ in entries]
    inks = palette(len(entries), ordered=collection.dose is not None and len(collection.knobs) == 1)
    return Legend(title, labels, inks)


def first_section(collection: Collection) -> Section | None:
    """Return the curves of the headline's metric; None where no metric was measured."""
    return _section(collection, "Generation by generation", _leading(collection))


def key_section(collection: Collection) -> Section | None:
    """Return the curves of the other key metrics: fidelity, diversity, agreement with the prompt."""
    names = [name for name in collection.names if name.is_key and name not in _leading(collection)]
    return _section(collection, "Fidelity, diversity and agreement", names)


def other_section(collection: Collection) -> Section | None:
    """Return the curves of all metrics that no section above shows and that have no section of their own."""
    first = _leading(collection)
    names = [name for name in collection.names if not (name.is_key or name in first or name.is_part)]
    return _section(collection, "All other metrics", names, folded=True)


def leading(collection: Collection) -> Name | None:
    """Return the metric of the headline: the first FID, or else the first metric; None where there is none."""
    return next((name for name in collection.names if name.metric == "fid"), next(iter(collection.names), None))


def draw(
    ax: Axes,
    collection: Collection,
    name: Name,
    inks: Sequence[tuple[str, str]],
    measured: Sequence[Series] | None = None,
) -> None:
    """Draw the lines of one metric with their bands, its floor, and a cross where a run diverged.

    Args:
        ax: The axes to draw on.
        collection: The runs of the page.
        name: The metric.
        inks: (on light, on dark) of each line, by the rank of the line.
        measured: The lines, where they are known already.
    """
    measured = over_generations(collection, name.key) if measured is None else measured
    for series in measured:
        _line(ax, series, inks[series.rank][0])
    theory = over_generations(collection, name.key + THEORY)
    for series in theory:
        label = "theory" if series is theory[-1] else None
        _theory(ax, series, inks[series.rank][0], label)
    span = floor(collection, name.key)
    # The band of two or three seeds can be far wider than the curves, so the limits hold the means and may cut a band.
    values = [*(span or ()), *(float(v) for series in (*measured, *theory) for v in series.mean)]
    if values:
        ax.set_ylim(*limits(values, name.top))
    if measured:
        first, last = min(series.x[0] for series in measured), max(series.x[-1] for series in measured)
        pad = 0.045 * ((last - first) or 1)
        ax.set_xlim(first - pad, last + pad)
    if span is not None:
        mark_floor(ax, span, name.floor_of[0])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("generation")


def mark_floor(ax: Axes, span: tuple[float, float], label: str) -> None:
    """Draw the floor as a dashed line with a band over all runs, and its label where fewest lines pass.

    Args:
        ax: The axes to draw on.
        span: The (smallest, largest) value of the floor.
        label: What the floor lies between, such as "floor: real against real".
    """
    level = sum(span) / 2
    if span[1] > span[0]:
        ax.axhspan(*span, color=MUTED, alpha=0.18, linewidth=0)
    right, above = _clear_corner(ax, level)
    ax.axhline(level, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    ax.annotate(
        label,
        (1 if right else 0, level),
        xycoords=("axes fraction", "data"),
        xytext=(0 if right else 3, 2 if above else -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom" if above else "top",
        color=MUTED,
        fontsize=7.5,
    )


def limits(values: Sequence[float], top: float | None) -> tuple[float, float]:
    """Return axis limits that hold all values.

    Args:
        values: The values, at least one.
        top: The largest possible value, e.g. 1 for a share; None where there is none.

    Returns:
        The (lower, upper) limit: [0, top] and a margin for a share, from 0 on where no value is negative and the
        values do not lie close together.
    """
    smallest, largest = min(values), max(values)
    if top is not None and smallest >= 0:
        return (0.0, top * 1.03)
    span = (largest - smallest) or abs(largest) or 1.0
    return (0.0 if 0 <= smallest < 0.6 * largest else smallest - 0.08 * span, largest + 0.12 * span)


def _leading(collection: Collection) -> list[Name]:
    first = leading(collection)
    return [] if first is None else _of_all_subsets(first, collection.names)


def _section(collection: Collection, title: str, names: list[Name], folded: bool = False) -> Section | None:
    if not names:
        return None
    legend = legend_of(collection)
    plots = [
        plot(
            lambda ax, name=name, lines=lines: draw(ax, collection, name, legend.inks, lines),  # type: ignore[misc]
            Caption.of(name),
            stem("curve", name.key),
            row=f"{name.features}/{name.metric}",
            legend=legend,
            lines=lines,
        )
        for name, lines in ((name, over_generations(collection, name.key)) for name in names[:MOST_PANELS])
    ]
    columns = max(len(_of_all_subsets(name, names)) for name in names)
    note = _note(collection, len(names))
    if folded:
        note += " collapse-lab report --figures FOLDER writes them as PDF as well."
    return Section.of_plots(title, plots, note, legend, columns, folded)


def _note(collection: Collection, n_metrics: int) -> str:
    sentences = []
    if any(len(group.runs) > 1 for group in collection.seed_groups):
        sentences.append("Lines are means over seeds. Bands are 95\u00a0% t-intervals, cut off at the panel's edge.")
    else:
        sentences.append("Bands are 95\u00a0% intervals over samples.")
    if len(collection.seed_groups) > MOST_LINES:
        n_groups = len(collection.seed_groups)
        sentences.append(f"{MOST_LINES} of {n_groups:,} configurations are drawn, at even distances.")
    if is_thinned(collection):
        sentences.append(THINNED)
    if n_metrics > MOST_PANELS:
        sentences.append(f"{MOST_PANELS} of {n_metrics} metrics are drawn; the CSV has all.")
    return " ".join(sentences)


def _theory(ax: Axes, series: Series, colour: str, label: str | None) -> None:
    """Draw a dotted line wider than the measured one, so that it stays visible where the two agree."""
    (line,) = ax.plot(series.x, series.mean, color=colour, linestyle=(0, (1, 1.6)), linewidth=4, alpha=0.45, zorder=2)
    line.set_gid(part_of_line("theory", series.rank))
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


def _clear_corner(ax: Axes, level: float) -> tuple[bool, bool]:
    """Return (at the right, above the line) of the corner beside `level` where a label hides least."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    near = 0.14 * (top - bottom)
    grid = np.linspace(left, right, 40)
    drawn = [(np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)) for line in ax.lines]
    # The points of each line, and the points that it passes through between them.
    x = np.concatenate([grid[:0], *(np.concatenate([a, grid]) for a, _ in drawn)])
    y = np.concatenate([grid[:0], *(np.concatenate([b, np.interp(grid, a, b, np.nan, np.nan)]) for a, b in drawn)])
    hidden = {}
    for at_right, above in ((True, True), (True, False), (False, True), (False, False)):
        over = (y - level) * (1 if above else -1)
        beside = x > right - 0.3 * (right - left) if at_right else x < left + 0.3 * (right - left)
        outside = level + near > top if above else level - near < bottom
        hidden[at_right, above] = (outside, int((beside & (over > -0.02 * near) & (over < near)).sum()))
    return min(hidden, key=lambda corner: hidden[corner])


def _line(ax: Axes, series: Series, colour: str) -> None:
    shape = marker(series.rank) if len(series.x) <= 30 else ""
    # Axes.plot and fill_between compute limits, units and colours for each line. All of these are known here, so add
    # the line and its band directly, which is faster.
    line = Line2D(series.x, series.mean, color=colour, marker=shape, markeredgewidth=0, zorder=3)
    line.set_gid(part_of_line("line", series.rank))
    ax.add_line(line)
    known = np.isfinite(series.lo) & np.isfinite(series.hi)
    if known.any():
        x, lo, hi = series.x[known], series.lo[known], series.hi[known]
        band = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([lo, hi[::-1]])], axis=1)
        ax.add_patch(Polygon(band, facecolor=colour, alpha=0.16, linewidth=0, gid=part_of_line("band", series.rank)))
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


def _of_all_subsets(name: Name, names: Sequence[Name]) -> list[Name]:
    """Return those of `names` that are the same metric of the same features, on any prompt set."""
    return [other for other in names if (other.features, other.metric) == (name.features, name.metric)]
