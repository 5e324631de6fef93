"""The relative efficiency of interacting linear models over α and β, in theory and as it was simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from collapse_lab.report.plot import WIDTH, Caption, Plot, inches, plot, stem
from collapse_lab.report.readings import Spot
from collapse_lab.report.summary import number
from collapse_lab.report.tiles import colour_bar, norm
from collapse_lab.results.collect import SeedGroup
from collapse_lab.results.intervals import of_mean
from collapse_lab.results.linear_efficiency import theory_map
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.theory.interacting_efficiency import harmonic

ALPHA, BETA = ("ratio", "mixing.alpha"), "mixing.beta"
HEIGHT = 3.3  # in inches
MOST_VALUES = 25  # that are written beside their points
NOTE = (
    "The relative efficiency is drawn over alpha and beta: the background is the theory of the runs' own designs, the "
    "points are the runs. It is that of the whole population, the ideal excess risk divided by the mean one of models."
)


@dataclass(frozen=True)
class Cell:
    """Hold what was simulated at one α and β: the mean over runs, its interval, and the exact expectation."""

    alpha: float
    beta: float
    value: float
    lo: float | None
    hi: float | None
    theory: float | None


def suits(name: Name, axes: tuple[str, str]) -> bool:
    """Return whether a metric over two settings is the relative efficiency over α and β."""
    return name.metric == "relative_efficiency" and axes[0] in ALPHA and axes[1] == BETA


def panel(groups: Sequence[SeedGroup], name: Name, label: str) -> Plot | None:
    """Return the map of the theory with the simulated points on it.

    Args:
        groups: Runs that differ in α, in β and in their seeds alone.
        name: The relative efficiency of each model, in the ledger.
        label: The other settings, in words.

    Returns:
        The plot; None where the theory of the runs is not known, or no run came to its last generation.
    """
    background = theory_map(groups[0].runs[0].config)
    cells = [cell for group in groups if (cell := _cell(group, name)) is not None]
    if background is None or not cells:
        return None
    best = np.unravel_index(background.argmax(), background.shape)
    alpha, beta = (index / (len(background) - 1) for index in best)
    highest = f"highest in theory: {number(background.max())} at alpha {alpha:g}, beta {beta:g}"
    caption = Caption("Relative efficiency of the population", name.where, " · ".join(filter(None, (label, highest))))
    return plot(
        partial(_draw, background=background, cells=cells),
        caption,
        stem("phase", "efficiency", label),
        row=f"{name.features}/{name.metric}",
        height=HEIGHT,
        spots=[Spot(cell.alpha, cell.beta, _text(cell)) for cell in cells],
    )


def _cell(group: SeedGroup, name: Name) -> Cell | None:
    mixing = group.runs[0].config["mixing"]
    values = [value for run in group.runs if (value := _of_population(run, name.key)) is not None]
    if not values:
        return None
    mean = of_mean(values)
    theory = _of_population(group.runs[0], f"{name.key}_theory")
    return Cell(float(mixing["alpha"]), float(mixing["beta"]), mean.value, mean.lo, mean.hi, theory)


def _of_population(run: Run, key: str) -> float | None:
    """Return the efficiency of a population in its last generation; None where a run did not come so far."""
    last = run.by_generation.get(run.config.get("generations", -1), ())
    values = [record.metrics[key] for record in last if key in record.metrics]
    return harmonic(np.asarray(values)) if values else None


def _text(cell: Cell) -> str:
    interval = "" if cell.lo is None or cell.hi is None else f" ({number(cell.lo)} to {number(cell.hi)})"
    theory = "" if cell.theory is None else f"\ntheory {cell.theory:.4g}"
    return f"alpha {cell.alpha:g}, beta {cell.beta:g}\nsimulated {cell.value:.4g}{interval}{theory}"


def _draw(ax: Axes, background: np.ndarray, cells: Sequence[Cell]) -> None:
    figure = ax.figure
    assert isinstance(figure, Figure)
    ax.set_position(inches(figure, 0.62, 0.45, WIDTH - 0.95, HEIGHT - 0.12))
    bar = figure.add_axes(inches(figure, WIDTH - 0.56, 0.45, WIDTH - 0.45, HEIGHT - 0.12))
    values = [cell.value for cell in cells]
    scale = ScalarMappable(norm([*background.ravel(), *values]), mpl.colormaps["viridis"])
    half = 0.5 / (len(background) - 1)
    extent = (-half, 1 + half, -half, 1 + half)
    # Because a picture of so few pixels is small, the map is one, and not an element for each of its cells
    ax.imshow(scale.to_rgba(background.T), extent=extent, origin="lower", aspect="auto", interpolation="none", zorder=0)
    colours = scale.to_rgba(np.asarray(values))
    places = np.array([(cell.alpha, cell.beta) for cell in cells])
    ax.scatter(
        places[:, 0], places[:, 1], s=46, c=colours, edgecolors="#ffffff", linewidths=1.4, clip_on=False, zorder=3
    )
    for cell in cells if len(cells) <= MOST_VALUES else ():
        _write(ax, cell, scale)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    ax.grid(visible=False)
    ax.set_xlabel("alpha, the share of generated rows")
    ax.set_ylabel("beta, the private share of real rows")
    colour_bar(figure, bar, scale, None)


def _write(ax: Axes, cell: Cell, scale: ScalarMappable) -> None:
    """Write a value beside its point, on the side that is within the map."""
    red, green, blue, _ = scale.to_rgba(np.array([cell.value]))[0]
    ink = "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
    side = "left" if cell.alpha < 0.05 else "right" if cell.alpha > 0.95 else "center"
    up = 6 if cell.beta < 0.5 else -6
    ax.annotate(
        number(cell.value),
        (cell.alpha, cell.beta),
        (0, up),
        textcoords="offset points",
        ha=side,
        va="bottom" if up > 0 else "top",
        color=ink,
        fontsize=7,
    )
