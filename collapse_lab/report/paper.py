"""One figure for a paper: chosen metrics side by side over the generations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.report.curves import draw, leading, legend_of
from collapse_lab.report.style import marker, styled
from collapse_lab.results.collect import Collection


def figure(collection: Collection, metrics: Sequence[str] = ()) -> Figure:
    """Return a figure for a paper, with one panel for each metric and one legend.

    Args:
        collection: The runs of the figure.
        metrics: The names of the metrics in the ledger; empty takes the first FID.

    Returns:
        The figure.

    Raises:
        UserError: No run has a metric of that name.
    """
    known = {name.key: name for name in collection.names}
    first = leading(collection)
    chosen = list(metrics) or ([first.key] if first else [])
    if not chosen:
        raise UserError("these runs measured nothing, so there is no metric to draw")
    for metric in chosen:
        if metric not in known:
            raise UserError(f"no run has a metric '{metric}': {did_you_mean(metric, known)}")
    with styled():
        drawn = Figure(figsize=(3.6 * len(chosen) + 1.3, 3.1), layout="constrained")
        axes = drawn.subplots(1, len(chosen), squeeze=False)[0]
        legend = legend_of(collection)
        for ax, metric in zip(axes, chosen, strict=True):
            name = known[metric]
            draw(ax, collection, name, legend.inks)
            better = f", {name.better} is better" if name.better else ""
            ax.set_title(name.title + better + (f"\n{name.where}" if name.where else ""))
        if len(legend.labels) > 1:
            handles = [
                Line2D([], [], color=ink, marker=marker(i), label=label)
                for i, (label, (ink, _)) in enumerate(zip(legend.labels, legend.inks, strict=True))
            ]
            drawn.legend(handles=handles, title=legend.title, loc="outside right center")
        return drawn


def save(collection: Collection, path: Path, metrics: Sequence[str] = ()) -> Path:
    """Write `figure` to a file.

    Args:
        collection: The runs of the figure.
        path: The file; its ending names the format, e.g. png, svg or pdf.
        metrics: The names of the metrics in the ledger; empty takes the first FID.

    Returns:
        `path`.

    Raises:
        UserError: There is no such metric or no such format, or `path` cannot be written.
    """
    drawn = figure(collection, metrics)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with styled():
            drawn.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        raise UserError(f"the figure cannot be written to '{path}': {error}") from error
    return path
