"""Heat maps that show their uncertainty: a tile's colour is the value, the strip below it runs from lo to hi."""

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

DECADES = 20  # beyond this quotient of greatest and least, colours go by the logarithm
MOST_STRIPS = 400
MOST_VALUES = 80
GAP, STRIP = 0.03, 0.16  # between tiles, and the strip's height, in tiles


@dataclass(frozen=True)
class Tiles:
    """Values over two axes.

    values: (3, rows, columns), of mean, lo and hi, the first row at the bottom; NaN where there is no run, or no
        interval.
    columns, rows: labels. x: (columns,) where each column stands.
    better: "lower" or "higher": that end is the bright one. Without it, the greatest is.
    top: of the range, where it starts at 0: then the colours span all of it, and a small change looks small.
    floor: real against real, marked on the colour bar.
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
        """Of the plot, in inches."""
        return float(np.clip(0.26 * len(self.rows) + 0.75, 2.3, 5.0))


def draw(ax: Axes, tiles: Tiles) -> None:
    """Fills `ax` with tiles, their values where they are few, and a colour bar beside it."""
    figure = ax.figure
    assert isinstance(figure, Figure)
    left = float(np.clip(0.38 + 0.062 * max(map(len, tiles.rows)), 0.62, 1.3))
    ax.set_position(inches(figure, left, 0.45, WIDTH - 0.95, tiles.height - 0.12))
    bar = figure.add_axes(inches(figure, WIDTH - 0.56, 0.45, WIDTH - 0.45, tiles.height - 0.12))
    mean, lo, hi = tiles.values
    known = mean[np.isfinite(mean)]
    colours = mpl.colormaps["viridis_r" if tiles.better == "lower" else "viridis"]
    ends = [*known, *([] if tiles.floor is None else [tiles.floor]), *([] if tiles.top is None else [0.0, tiles.top])]
    scale = ScalarMappable(_norm(ends), colours)
    places = [(i, j) for i, j in np.ndindex(mean.shape) if np.isfinite(mean[i, j])]
    with_strips = len(places) <= MOST_STRIPS
    boxes, values = [], []
    for i, j in places:
        x0, x1, y0, y1 = tiles.x[j] - 0.5 + GAP, tiles.x[j] + 0.5 - GAP, i - 0.5 + GAP, i + 0.5 - GAP
        between = np.isfinite(lo[i, j]) and np.isfinite(hi[i, j]) and with_strips
        boxes.append((x0, x1, y0 + STRIP if between else y0, y1))
        values.append(mean[i, j])
        if between:
            boxes += [(x0, tiles.x[j], y0, y0 + STRIP), (tiles.x[j], x1, y0, y0 + STRIP)]
            values += [lo[i, j], hi[i, j]]
    corners = [[(a, c), (b, c), (b, d), (a, d)] for a, b, c, d in boxes]
    ax.add_collection(PolyCollection(corners, facecolors=scale.to_rgba(np.asarray(values)), linewidths=0))
    _write(ax, tiles, scale, places)
    _axes(ax, tiles)
    _bar(figure, bar, scale, tiles.floor)


def note(several_seeds: bool) -> str:
    """What a reader must know of such a figure."""
    which = "95\u00a0% t-interval over seeds" if several_seeds else "95\u00a0% interval over samples"
    return f"The strip below a tile has the colours of the lower and the upper end of its {which}."


def _norm(values: Sequence[float]) -> Normalize:
    least, greatest = min(values), max(values)
    if least > 0 and greatest / least > DECADES:
        return LogNorm(least, greatest)
    return Normalize(least, greatest if greatest > least else least + (abs(least) or 1.0))


def _write(ax: Axes, tiles: Tiles, scale: ScalarMappable, places: Sequence[tuple[int, int]]) -> None:
    """Values where they fit, with their intervals where those fit too."""
    if len(tiles.columns) > 8 or len(tiles.columns) * len(tiles.rows) > MOST_VALUES:
        return
    mean, lo, hi = tiles.values
    roomy = len(tiles.columns) <= 5 and len(tiles.rows) <= 6
    for i, j in places:
        red, green, blue, _ = scale.to_rgba(mean[i, j])
        ink = "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
        interval = roomy and np.isfinite(lo[i, j])
        at = i + STRIP / 2
        size = 8 if len(tiles.rows) <= 8 else 6.5
        value = number(mean[i, j]) if tiles.top is None else f"{mean[i, j]:.2f}"
        ax.text(tiles.x[j], at + 0.15 * interval, value, ha="center", va="center", color=ink, fontsize=size)
        if interval:
            text = "–".join(f"{v:.2g}" if abs(v) < 100 else f"{v:.0f}" for v in (lo[i, j], hi[i, j]))
            ax.text(tiles.x[j], at - 0.17, text, ha="center", va="center", color=ink, fontsize=5.5)


def _axes(ax: Axes, tiles: Tiles) -> None:
    ax.set_xlim(tiles.x[0] - 0.55, tiles.x[-1] + 0.55)
    ax.set_ylim(-0.55, len(tiles.rows) - 0.45)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    fit = int(2.6 / (0.085 * max(map(len, tiles.columns)) + 0.06))  # labels of this length side by side
    last, every = len(tiles.columns) - 1, -(-len(tiles.columns) // fit)
    kept = [j for j in range(last + 1) if (last - j) % every == 0 or (j == 0 and tiles.x[0] < 0)]
    ax.set_xticks(tiles.x[kept], [tiles.columns[j] for j in kept])
    down = -(-len(tiles.rows) // 20)
    ax.set_yticks(range(0, len(tiles.rows), down), tiles.rows[::down])
    ax.set_xlabel(tiles.xlabel)
    ax.set_ylabel(tiles.ylabel)


def _bar(figure: Figure, ax: Axes, scale: ScalarMappable, floor: float | None) -> None:
    scale.set_cmap(scale.cmap.resampled(40))  # in an SVG each shade is an element of its own
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
