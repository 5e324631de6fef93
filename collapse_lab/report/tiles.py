"""Heat maps with intervals: the colour of a tile is the value, and the strip below it has the colours of lo and hi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from collapse_lab.report.plot import WIDTH, inches
from collapse_lab.report.style import MUTED
from collapse_lab.report.summary import number

LARGEST_RATIO = 20  # where the largest value is more times the smallest, colours follow the logarithm
MOST_STRIPS = 400
MOST_VALUES = 80
MOST_LETTERS = 24  # of the label of a row, which take a third of the width
GAP, STRIP = 0.03, 0.16  # half the gap between tiles, and the height of the strip, in tiles


@dataclass(frozen=True)
class Tiles:
    """Hold the values of a heat map over two axes.

    Attributes:
        values: (3, rows, columns), of mean, lo and hi, the first row at the bottom; NaN where there is no run or no
            interval.
        x: (columns,), where each column stands.
        columns: The labels of the columns.
        rows: The labels of the rows.
        xlabel: The label of the axis across.
        ylabel: The label of the axis up.
        better: "lower" or "higher": that end of the colours is the bright one; "" makes the largest value bright.
        top: The upper end of the range of a metric whose range starts at 0. Then the colours span the whole range, so
            that a small change looks small. None spans the values.
        floor: The value for real against real, which is marked on the colour bar; None for no mark.
    """

    values: np.ndarray
    x: np.ndarray
    columns: Sequence[str]
    rows: Sequence[str]
    xlabel: str
    ylabel: str
    better: str = ""
    top: float | None = None
    floor: float | None = None

    @property
    def height(self) -> float:
        """Return the height of the plot, in inches."""
        return float(np.clip(0.26 * len(self.rows) + 0.75, 2.3, 5.0))


def draw(ax: Axes, tiles: Tiles) -> None:
    """Draw the tiles, their values as text where they are few, and a colour bar beside them.

    Args:
        ax: The axes to draw on; they are moved, so that labels and colour bar have room.
        tiles: The values.
    """
    figure = ax.figure
    assert isinstance(figure, Figure)
    left = max(0.38 + 0.062 * max(map(len, map(shortened, tiles.rows))), 0.62)
    ax.set_position(inches(figure, left, 0.45, WIDTH - 0.95, tiles.height - 0.12))
    bar = figure.add_axes(inches(figure, WIDTH - 0.56, 0.45, WIDTH - 0.45, tiles.height - 0.12))
    mean, lo, hi = tiles.values
    known = mean[np.isfinite(mean)]
    colours = mpl.colormaps["viridis_r" if tiles.better == "lower" else "viridis"]
    ends = [*known, *([] if tiles.floor is None else [tiles.floor]), *([] if tiles.top is None else [0.0, tiles.top])]
    scale = ScalarMappable(norm(ends), colours)
    places = [(i, j) for i, j in np.ndindex(mean.shape) if np.isfinite(mean[i, j])]
    few_tiles = len(places) <= MOST_STRIPS
    boxes, values = [], []
    for i, j in places:
        x0, x1, y0, y1 = tiles.x[j] - 0.5 + GAP, tiles.x[j] + 0.5 - GAP, i - 0.5 + GAP, i + 0.5 - GAP
        with_strip = np.isfinite(lo[i, j]) and np.isfinite(hi[i, j]) and few_tiles
        boxes.append((x0, x1, y0 + STRIP if with_strip else y0, y1))
        values.append(mean[i, j])
        if with_strip:
            boxes += [(x0, tiles.x[j], y0, y0 + STRIP), (tiles.x[j], x1, y0, y0 + STRIP)]
            values += [lo[i, j], hi[i, j]]
    corners = [[(a, c), (b, c), (b, d), (a, d)] for a, b, c, d in boxes]
    ax.add_collection(PolyCollection(corners, facecolors=scale.to_rgba(np.asarray(values)), linewidths=0))
    _write_values(ax, tiles, scale, places)
    _axes(ax, tiles)
    colour_bar(figure, bar, scale, tiles.floor)


def shortened(label: str) -> str:
    """Return the end of a label that is too long for its row, because prompts of one template differ in their ends."""
    if len(label) <= MOST_LETTERS:
        return label
    end = label[1 - MOST_LETTERS :]
    return "…" + end[max(end.find(" "), 0) :]  # a word is whole where there are several


def strip_note(several_seeds: bool) -> str:
    """Return the sentence that explains the strips to a reader."""
    interval = "95\u00a0% t-interval over seeds" if several_seeds else "95\u00a0% interval over samples"
    return f"The strip below a tile has the colours of the lower and the upper end of its {interval}."


def norm(values: Sequence[float]) -> Normalize:
    """Return a scale of colours over all these values, logarithmic where they span more than a decade or so."""
    smallest, largest = min(values), max(values)
    if smallest > 0 and largest / smallest > LARGEST_RATIO:
        return LogNorm(smallest, largest)
    return Normalize(smallest, largest if largest > smallest else smallest + (abs(smallest) or 1.0))


def _write_values(ax: Axes, tiles: Tiles, scale: ScalarMappable, places: Sequence[tuple[int, int]]) -> None:
    """Write the values where they fit, and their intervals where these fit too."""
    if len(tiles.columns) > 8 or len(tiles.columns) * len(tiles.rows) > MOST_VALUES:
        return
    mean, lo, hi = tiles.values
    roomy = len(tiles.columns) <= 5 and len(tiles.rows) <= 6
    for i, j in places:
        red, green, blue, _ = scale.to_rgba(mean[i, j])
        ink = "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
        interval = roomy and np.isfinite(lo[i, j])
        y = i + STRIP / 2
        size = 8 if len(tiles.rows) <= 8 else 6.5
        value = number(mean[i, j]) if tiles.top is None else f"{mean[i, j]:.2f}"
        ax.text(tiles.x[j], y + 0.15 * interval, value, ha="center", va="center", color=ink, fontsize=size)
        if interval:
            text = "–".join(f"{v:.2g}" if abs(v) < 100 else f"{v:.0f}" for v in (lo[i, j], hi[i, j]))
            ax.text(tiles.x[j], y - 0.17, text, ha="center", va="center", color=ink, fontsize=5.5)


def _axes(ax: Axes, tiles: Tiles) -> None:
    ax.set_xlim(tiles.x[0] - 0.55, tiles.x[-1] + 0.55)
    ax.set_ylim(-0.55, len(tiles.rows) - 0.45)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    fit = int(2.6 / (0.085 * max(map(len, tiles.columns)) + 0.06))  # this many labels of that length fit side by side
    last, every = len(tiles.columns) - 1, -(-len(tiles.columns) // fit)
    kept = [j for j in range(last + 1) if (last - j) % every == 0 or (j == 0 and tiles.x[0] < 0)]
    ax.set_xticks(tiles.x[kept], [tiles.columns[j] for j in kept])
    down = -(-len(tiles.rows) // 20)
    ax.set_yticks(range(0, len(tiles.rows), down), [shortened(row) for row in tiles.rows[::down]])
    ax.set_xlabel(tiles.xlabel)
    ax.set_ylabel(tiles.ylabel)


def colour_bar(figure: Figure, ax: Axes, scale: ScalarMappable, floor: float | None) -> None:
    """Draw the bar of a scale, with a mark where real rows against real rows are."""
    scale.set_cmap(scale.cmap.resampled(40))  # an SVG has one element for each shade, so use few shades
    bar = figure.colorbar(scale, cax=ax)
    bar.outline.set_visible(False)
    ax.tick_params(length=2, labelsize=7.5)
    if isinstance(scale.norm, LogNorm):
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5))
    if floor is not None:
        ax.plot([-1.1, 1], [floor, floor], transform=ax.get_yaxis_transform(), color=MUTED, clip_on=False, linewidth=1)
        ax.text(
            -1.4,
            floor,
            "real",
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="center",
            color=MUTED,
            fontsize=7,
        )
