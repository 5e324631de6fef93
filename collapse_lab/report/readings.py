"""What a reader sees who points at a line: its value, interval and seeds, and where in the drawing its points lie."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.report.summary import number
from collapse_lab.results.series import Series, evenly

MOST_POINTS = 60  # of a line that a reader can point at, because a page holds thousands of lines
MOST_SEEDS = 6  # that are named


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
    figure = ax.figure
    scale, height = 72 / figure.dpi, 72 * figure.get_size_inches()[1]  # type: ignore[union-attr]
    written = []
    for line in lines:
        kept = evenly(len(line.x), MOST_POINTS)
        places = scale * ax.transData.transform(np.stack([line.x[kept], line.mean[kept]], axis=1))
        points = [
            [round(float(x), 1), round(float(height - y), 1), _text(line, i)]
            for (x, y), i in zip(places, kept, strict=True)
            if np.isfinite(y)
        ]
        written.append({"line": line.rank, "label": line.label, "points": points})
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def _text(line: Series, i: int) -> str:
    lo, hi = line.lo[i], line.hi[i]
    interval = f" ({number(lo)} to {number(hi)})" if np.isfinite(lo) and np.isfinite(hi) else ""
    return f"{line.x[i]:g}: {number(line.mean[i])}{interval}{_seeds(line.seeds[i])}"


def _seeds(seeds: Sequence[object]) -> str:
    if not seeds or seeds == (None,):
        return ""
    named = ", ".join(map(str, seeds[:MOST_SEEDS])) + (", …" if len(seeds) > MOST_SEEDS else "")
    return f", {len(seeds)} seed{'s' if len(seeds) > 1 else ''}: {named}"
