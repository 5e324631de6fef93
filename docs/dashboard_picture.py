"""Draw what `collapse-lab dashboard` specifies, from the runs themselves: the picture in the guide to dashboards.

    python -m docs.dashboard_picture FOLDER… --out docs/images/dashboard.png

Weights & Biases draws the saved view in its own style. What it shows is this: the same sections, panels, axes, groups
and numbers, from the same specification. Curves within fits and tables are in the mirrors alone, and left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from collapse_lab.report.dashboard import Dashboard, Panel, Part, dashboard
from collapse_lab.results.collect import Collection, collect
from collapse_lab.results.frames import of_collection

COLUMNS, MOST = 4, 8  # panels side by side, and of one section
WIDTH, HEIGHT = 4.2, 2.5  # of a panel, in inches


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the dashboard of some runs into a file."""
    parser = argparse.ArgumentParser(prog="python -m docs.dashboard_picture", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="the picture, a .png")
    options = parser.parse_args(arguments)
    collection = collect(options.folders)
    draw(dashboard(collection), collection, options.out)


def draw(wanted: Dashboard, collection: Collection, path: Path) -> None:
    """Draw the sections of a dashboard below each other.

    Args:
        wanted: the specification.
        collection: the runs of which it is.
        path: where the picture is written.
    """
    table = of_collection(collection)
    draws: dict[str, Callable[[Axes, Panel], None]] = {
        "curves": lambda ax, panel: _curves(ax, panel, table, wanted.groups),
        "dose": lambda ax, panel: _dose(ax, panel, table),
        "shares": lambda ax, panel: _shares(ax, panel, collection),
        "pictures": lambda ax, panel: _pictures(ax, panel, collection),
    }
    parts = [Part(part.title, part.text, _shown(part, draws)) for part in wanted.parts]
    parts = [part for part in parts if part.panels]
    rows = [-(-len(part.panels) // COLUMNS) for part in parts]
    figure = plt.figure(figsize=(COLUMNS * WIDTH, sum(rows) * HEIGHT + len(rows) * 0.7), layout="constrained")
    figure.suptitle(wanted.title, x=0.01, ha="left", fontsize=15, weight="bold")
    for part, below in zip(
        parts, figure.subfigures(len(parts), 1, height_ratios=rows, squeeze=False)[:, 0], strict=True
    ):
        below.suptitle(f"{part.title}. {part.text}", x=0.01, ha="left", fontsize=11)
        places = below.subplots(-(-len(part.panels) // COLUMNS), COLUMNS, squeeze=False).ravel()
        for ax in places[len(part.panels) :]:
            ax.set_axis_off()
        for ax, panel in zip(places, part.panels, strict=False):
            draws[panel.kind](ax, panel)
            ax.set_title(panel.title.replace(" · classifier features", ""), fontsize=9)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _shown(part: Part, draws: Any) -> tuple[Panel, ...]:
    return tuple(panel for panel in part.panels if panel.kind in draws and not panel.x.startswith("fit/"))[:MOST]


def _curves(ax: Axes, panel: Panel, table: pd.DataFrame, groups: Sequence[str]) -> None:
    """Draw the mean of each group with a band of one standard error over its seeds."""
    for values, rows in table[table["name"] == panel.names[0]].groupby(list(groups)):
        over = rows.groupby("generation")["value"]
        mean, error = over.mean(), over.sem().fillna(0)
        (line,) = ax.plot(mean.index, mean, label=", ".join(f"{g}={v}" for g, v in zip(groups, values, strict=True)))
        ax.fill_between(mean.index, mean - error, mean + error, color=line.get_color(), alpha=0.25, linewidth=0)
    ax.set_xlabel(panel.x, fontsize=8)
    ax.legend(fontsize=6)


def _dose(ax: Axes, panel: Panel, table: pd.DataFrame) -> None:
    """Draw the last generation of each chain over its dose."""
    rows = table[(table["name"] == panel.names[0]) & (table["generation"] == table["generation"].max())]
    ax.plot(rows[panel.x], rows["value"], "o", markersize=4)
    ax.set_xlabel(panel.x, fontsize=8)


def _shares(ax: Axes, panel: Panel, collection: Collection) -> None:
    """Draw the mean number of rows of each source, over all runs."""
    kinds = [name.rpartition("/")[2] for name in panel.names]
    generations = sorted({record.generation for run in collection.runs for record in run.records})
    counts = [
        [
            np.mean(
                [r.counts.get(kind, 0) for run in collection.runs for r in run.records if r.generation == generation]
            )
            for generation in generations
        ]
        for kind in kinds
    ]
    ax.stackplot(generations, counts, labels=kinds)
    ax.set_xlabel(panel.x, fontsize=8)
    ax.legend(fontsize=6)


def _pictures(ax: Axes, panel: Panel, collection: Collection) -> None:
    """Draw the grids of the first and the last generation of the run that has the largest dose."""
    dose = collection.dose
    run = max(collection.runs, key=lambda run: run.flat.get(dose, 0) if dose else 0)
    _, subset, model = panel.names[0].split("/")
    paths = sorted((run.folder / "grids" / subset).glob(f"{model}-g*.png"))
    images = [np.asarray(Image.open(path).convert("RGB")) for path in (paths[0], paths[-1])]
    gap = np.full((images[0].shape[0], images[0].shape[1] // 20, 3), 255, np.uint8)
    ax.imshow(np.concatenate([images[0], gap, images[1]], axis=1))
    ax.set_axis_off()
    first, last = (path.stem.rpartition("-g")[2].lstrip("0") or "0" for path in (paths[0], paths[-1]))
    ax.text(0.5, -0.22, f"generation {first} and {last}", transform=ax.transAxes, ha="center", fontsize=8)


if __name__ == "__main__":
    main()
