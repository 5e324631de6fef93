"""What a reader sees who points at a line: its value, interval and seeds, and where in the drawing its points lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.report.summary import number
from collapse_lab.results.series import Series, evenly

MOST_POINTS = 60  # of a line that a reader can point at, because a page holds thousands of lines
MOST_SEEDS = 6  # that are named


@dataclass(frozen=True)
class Spot:
    """Hold a point that belongs to no line, and the text that a reader sees there."""

    x: float
    y: float
    text: str


def part_of_line(part: str, rank: int) -> str:
    """Return the id of a part of a line in the drawing, by which the page finds it."""
    return f"{part}-of-{rank}"


def readings(ax: Axes, lines: Sequence[Series]) -> str:
    """Return the points of some lines as JSON: [{"line": rank, "label": …, "points": [[x, y, text], …]}, …].

    x and y are the place of a point in the drawing, in points from its upper left corner. Because a page holds
    thousands of points, a text is short: "generation: value (lo to hi), n seeds: seeds".

    Args:
        ax: The axes that the lines are drawn on.
        lines: The lines.
    """
    written = []
    for line in lines:
        kept = [i for i in evenly(len(line.x), MOST_POINTS) if np.isfinite(line.mean[i])]
        points = [[*_place(ax, line.x[i], line.mean[i]), _text(line, i)] for i in kept]
        written.append({"line": line.rank, "label": line.label, "points": points})
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def readings_of_spots(ax: Axes, spots: Sequence[Spot]) -> str:
    """Return the points as JSON, as `readings` does; they are of no line, and their text stands for itself.

    Args:
        ax: The axes that the points are drawn on.
        spots: The points.
    """
    points = [[*_place(ax, spot.x, spot.y), spot.text] for spot in spots]
    return json.dumps([{"line": -1, "label": "", "over": "", "points": points}], ensure_ascii=False)


def _place(ax: Axes, x: float, y: float) -> tuple[float, float]:
    """Return the place of a point in the drawing, in points from its upper left corner."""
    figure = ax.figure
    scale, height = 72 / figure.dpi, 72 * figure.get_size_inches()[1]  # type: ignore[union-attr]
    right, up = scale * ax.transData.transform((x, y))
    return round(float(right), 1), round(float(height - up), 1)


def _text(line: Series, i: int) -> str:
    lo, hi = line.lo[i], line.hi[i]
    interval = f" ({number(lo)} to {number(hi)})" if np.isfinite(lo) and np.isfinite(hi) else ""
    return f"{line.x[i]:g}: {number(line.mean[i])}{interval}{_seeds(line.seeds[i])}"


def _seeds(seeds: Sequence[object]) -> str:
    if not seeds or seeds == (None,):
        return ""
    named = ", ".join(map(str, seeds[:MOST_SEEDS])) + (", …" if len(seeds) > MOST_SEEDS else "")
    return f", {len(seeds)} seed{'s' if len(seeds) > 1 else ''}: {named}"
