"""The perplexity of generated text under the model of generation 0: its quantiles as a fan over the generations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from collapse_lab.report.plot import Caption, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, palette
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Cell, Collection
from collapse_lab.results.names import PERPLEXITY_QUANTILE
from collapse_lab.results.series import evenly, point

MOST_CELLS = 6
MEDIAN = "50"
BANDS = (("01", "99", 0.13), ("05", "95", 0.16), ("25", "75", 0.25))  # quantiles in percent, and how opaque between
REAL = ("05", "95")


@dataclass(frozen=True)
class Fan:
    """Quantiles of one cell over its generations x (m,), and of real text, by the percent in their names."""

    x: np.ndarray
    generated: dict[str, np.ndarray]
    real: dict[str, float]

    @property
    def values(self) -> np.ndarray:
        """All that is drawn."""
        return np.concatenate([*self.generated.values(), list(self.real.values())])


def section(collection: Collection) -> Section | None:
    """None where no run scored its text with the model of generation 0. A sweep shows some of its cells."""
    names = [name for name in collection.names if name.metric.startswith(PERPLEXITY_QUANTILE)]
    if not names:
        return None
    subsets = {name.subset: name.where for name in names}
    cells = [collection.cells[i] for i in evenly(len(collection.cells), MOST_CELLS)]
    fans = [(cell, subset, found) for cell in cells for subset in subsets if (found := fan(cell, subset)) is not None]
    if not fans:
        return None
    # One scale for all panels, so that they can be compared at a glance.
    values = np.concatenate([found.values for *_, found in fans])
    limits = (float(values.min()) / 1.12, float(values.max()) * 1.12)
    ((colour, _),) = palette(1, ordered=False)
    plots = [
        plot(
            lambda ax, found=found: draw(ax, found, colour, limits),  # type: ignore[misc]
            Caption(
                "Perplexity of generated text",
                subsets[subset],
                " · ".join(filter(None, (cell.label, "under generation 0"))),
            ),
            stem("perplexities", subset, cell.label),
            row=cell.label,
        )
        for cell, subset, found in fans
    ]
    several = any(len(cell.runs) > 1 for cell in collection.cells)
    told = ["How probable the model of generation 0 finds what later generations write: above is less probable."]
    told.append("Line: the median block; bands: 50, 90 and 98\u00a0% of the blocks.")
    told.append("Dotted: real text of the test set, the middle 90\u00a0% of its blocks and the median.")
    told.append("Quantiles are means over seeds; their intervals are in the CSV." if several else "")
    if len(cells) < len(collection.cells):
        told.append(f"{len(cells)} of {len(collection.cells):,} cells are drawn.")
    return Section.of_plots("Perplexity under generation 0", plots, " ".join(filter(None, told)), columns=len(subsets))


def fan(cell: Cell, subset: str) -> Fan | None:
    """The means over the runs of a cell; None where one of the quantiles that are drawn was never measured."""
    keys = {percent: f"{subset}/{PERPLEXITY_QUANTILE}{percent}" for low, high, _ in BANDS for percent in (low, high)}
    keys[MEDIAN] = f"{subset}/{PERPLEXITY_QUANTILE}{MEDIAN}"
    measured = [(record.generation, record.metrics) for run in cell.runs for record in run.records]
    at = sorted({generation for generation, metrics in measured if set(keys.values()) <= set(metrics)})
    if not at:
        return None
    generated = {percent: np.asarray([point(cell.runs, key, g)[0] for g in at]) for percent, key in keys.items()}
    floors = {
        percent: [m[f"{keys[percent]}_floor"] for _, m in measured if f"{keys[percent]}_floor" in m]
        for percent in (*REAL, MEDIAN)
    }
    real = {percent: float(np.mean(found)) for percent, found in floors.items() if found}
    return Fan(np.asarray(at, float), generated, real)


def draw(ax: Axes, found: Fan, colour: str, limits: tuple[float, float]) -> None:
    """Bands between quantiles around the median, on a logarithmic axis, over those of real text."""
    ax.set_yscale("log")
    ax.set_ylim(*limits)
    x, lone = found.x, len(found.x) == 1
    if lone:  # a generation by itself is as wide as a bar
        x = np.concatenate([x - 0.2, x + 0.2])
    for low, high, opacity in BANDS:
        below, above = (np.resize(found.generated[percent], len(x)) for percent in (low, high))
        band = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([below, above[::-1]])], axis=1)
        ax.add_patch(Polygon(band, facecolor=colour, alpha=opacity, linewidth=0))
    marker = "o" if 1 < len(found.x) <= 30 else ""
    ax.add_line(
        Line2D(x, np.resize(found.generated[MEDIAN], len(x)), color=colour, marker=marker, markeredgewidth=0, zorder=3)
    )
    pad = 0.045 * ((x[-1] - x[0]) or 1)
    ax.set_xlim(x[0] - pad, x[-1] + pad)
    _mark_real(ax, found.real)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.yaxis.set_major_locator(FixedLocator(_ticks(*limits)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    ax.set_xlabel("generation")


def _mark_real(ax: Axes, real: dict[str, float]) -> None:
    if set(REAL) <= set(real):
        ax.axhspan(real[REAL[0]], real[REAL[1]], color=MUTED, alpha=0.1, linewidth=0, zorder=0)
    for percent, level in real.items():
        ax.axhline(level, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.2 if percent == MEDIAN else 0.9, zorder=2)
    if REAL[1] in real:
        ax.annotate(
            "real text",
            (1, real[REAL[1]]),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=MUTED,
            fontsize=7.5,
        )


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each decade within the limits; where that would be many, only 1."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
