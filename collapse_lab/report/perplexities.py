"""The perplexity of generated text under the model of generation 0, as a fan of quantiles over the generations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from collapse_lab.metrics.catalogue import PERPLEXITY_QUANTILE
from collapse_lab.report.curves import THINNED
from collapse_lab.report.plot import Caption, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, palette
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.series import evenly, is_thinned, point, thinned

MOST_GROUPS = 6
MEDIAN = "50"
BANDS = (("01", "99", 0.13), ("05", "95", 0.16), ("25", "75", 0.25))  # two quantiles in percent, and the band's opacity
REAL = ("05", "95")


@dataclass(frozen=True)
class Fan:
    """Hold the quantiles of the perplexity of one configuration and of real text.

    Attributes:
        x: (m,), the generations.
        generated: (m,) for each quantile, by its percent as in the metric's name; perplexities, above 0.
        real: The quantiles of real text, by their percent; empty where they are not known.
    """

    x: np.ndarray
    generated: dict[str, np.ndarray]
    real: dict[str, float]

    @property
    def values(self) -> np.ndarray:
        """Return all values that are drawn, as one array."""
        return np.concatenate([*self.generated.values(), list(self.real.values())])


def section(collection: Collection) -> Section | None:
    """Return a fan of quantiles for some of the configurations.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no run scored its text with the model of generation 0.
    """
    names = [name for name in collection.names if name.metric.startswith(PERPLEXITY_QUANTILE)]
    if not names:
        return None
    subsets = {name.subset: name.where for name in names}
    groups = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_GROUPS)]
    candidates = ((group, subset, fan(group, subset)) for group in groups for subset in subsets)
    fans = [(group, subset, quantiles) for group, subset, quantiles in candidates if quantiles is not None]
    if not fans:
        return None
    # All panels share one scale, so that they can be compared at a glance.
    values = np.concatenate([quantiles.values for *_, quantiles in fans])
    limits = (float(values.min()) / 1.12, float(values.max()) * 1.12)
    ((colour, _),) = palette(1, ordered=False)
    plots = [
        plot(
            lambda ax, quantiles=quantiles: draw(ax, quantiles, colour, limits),  # type: ignore[misc]
            Caption(
                "Perplexity of generated text",
                subsets[subset],
                " · ".join(filter(None, (group.label, "under generation 0"))),
            ),
            stem("perplexities", subset, group.label),
            row=group.label,
        )
        for group, subset, quantiles in fans
    ]
    notes = [
        "How probable the text of later generations is to the model of generation 0: higher is less probable.",
        "The line is the median block of text; the bands hold 50, 90 and 98\u00a0% of the blocks.",
        "Dotted lines are real text of the test set: the median and the middle 90\u00a0% of its blocks.",
    ]
    if any(len(group.runs) > 1 for group in collection.seed_groups):
        notes.append("Quantiles are means over seeds; their intervals are in the CSV.")
    if is_thinned(collection):
        notes.append(THINNED)
    if len(groups) < len(collection.seed_groups):
        notes.append(f"{len(groups)} of {len(collection.seed_groups):,} configurations are drawn.")
    return Section.of_plots("Perplexity under generation 0", plots, " ".join(notes), columns=len(subsets))


def fan(group: SeedGroup, subset: str) -> Fan | None:
    """Return the mean quantiles over the runs of one configuration.

    Args:
        group: The runs.
        subset: The prompt set.

    Returns:
        The fan; None where one of the quantiles that are drawn was never measured.
    """
    keys = {percent: f"{subset}/{PERPLEXITY_QUANTILE}{percent}" for low, high, _ in BANDS for percent in (low, high)}
    keys[MEDIAN] = f"{subset}/{PERPLEXITY_QUANTILE}{MEDIAN}"
    measured = [(record.generation, record.metrics) for run in group.runs for record in run.records]
    wanted = set(keys.values())
    generations = thinned(sorted({generation for generation, metrics in measured if wanted <= metrics.keys()}))
    if not generations:
        return None
    generated = {
        percent: np.asarray([point(group.runs, key, generation)[0] for generation in generations])
        for percent, key in keys.items()
    }
    floors = {
        percent: [metrics[f"{keys[percent]}_floor"] for _, metrics in measured if f"{keys[percent]}_floor" in metrics]
        for percent in (*REAL, MEDIAN)
    }
    real = {percent: float(np.mean(values)) for percent, values in floors.items() if values}
    return Fan(np.asarray(generations, float), generated, real)


def draw(ax: Axes, quantiles: Fan, colour: str, limits: tuple[float, float]) -> None:
    """Draw bands between quantiles around the median, on a logarithmic axis, over the quantiles of real text.

    Args:
        ax: The axes to draw on.
        quantiles: The fan.
        colour: The colour of the bands and of the median.
        limits: The lower and upper limit of the axis, above 0.
    """
    ax.set_yscale("log")
    ax.set_ylim(*limits)
    x = quantiles.x
    if len(x) == 1:  # a line needs two points, so draw a single generation as wide as a bar
        x = np.concatenate([x - 0.2, x + 0.2])
    for low, high, opacity in BANDS:
        below, above = (np.resize(quantiles.generated[percent], len(x)) for percent in (low, high))
        band = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([below, above[::-1]])], axis=1)
        ax.add_patch(Polygon(band, facecolor=colour, alpha=opacity, linewidth=0))
    marker = "o" if 1 < len(quantiles.x) <= 30 else ""
    ax.add_line(
        Line2D(
            x, np.resize(quantiles.generated[MEDIAN], len(x)), color=colour, marker=marker, markeredgewidth=0, zorder=3
        )
    )
    pad = 0.045 * ((x[-1] - x[0]) or 1)
    ax.set_xlim(x[0] - pad, x[-1] + pad)
    _mark_real(ax, quantiles.real)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.yaxis.set_major_locator(FixedLocator(ticks(*limits)))
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


def ticks(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis: 1, 2 and 5 of each decade; over three decades and more, only 1.

    Args:
        low: The lower limit, above 0.
        high: The upper limit.
    """
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
