"""Tables of the quantities of collapse: rate, time to collapse and half-life of chains, and thresholds of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from collapse_lab.report.fields import Field, interval_field, knob_fields, metric_field, number_field, text_field
from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.results.collapse_quantities import MULTIPLE, half_life, rate, threshold, time_to_collapse
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.doses import Response, responses
from collapse_lab.results.intervals import of_mean, of_median
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.series import along, evenly, floor_of
from collapse_lab.results.settings import short, title_of

EFFECT = 0.5  # of the control's value
# FID stands for the risk, which grows without bound; recall stands for the modes, whose share near 1 falls by half.
METRICS_WITH_THRESHOLD = ("fid", "recall")
MOST_LINES = 240
MOST_POINTS = 1000  # of a chain whose rate is taken: there are half a million slopes between two of them


def section(collection: Collection) -> Section | None:
    """Return a table with a line for each configuration and key metric.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no chain has two generations.
    """
    names = [name for name in collection.names if name.is_key and name.better] if collection.last > 0 else []
    most_groups = max(1, MOST_LINES // max(len(names), 1))
    groups = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), most_groups)]
    rows = [_line(group, name) for name in names for group in groups if _has_two_generations(group, name)]
    if not rows:
        return None
    knobs = map(title_of, collection.knobs)
    header = ["metric", *knobs, "chains", "rate", "95 % interval", "time to collapse", "half-life"]
    note = (
        "Rate: change per generation, the median slope between two generations (Theil and Sen). Its interval is that "
        "of the mean rate over seeds; for a single chain it is that of the slopes, from 5 generations on. Time to "
        f"collapse: the first generation from which a metric stays beyond {MULTIPLE:g} times the floor (where more is "
        f"better: below the floor divided by {MULTIPLE:g}). Half-life: the number of generations until half of the "
        "value of generation 0 is left. Times are medians over seeds; “never” means that it did not happen up "
        "to the last generation."
    )
    if any(len(run.by_generation) > MOST_POINTS for run in collection.runs):
        note += f" Rates of longer chains are those of {MOST_POINTS:,} generations at even distances."
    if len(groups) < len(collection.seed_groups):
        note += f" {len(groups)} of {len(collection.seed_groups):,} configurations are listed."
    context = {"header": header, "rows": rows, "foot": []}
    title = "Rate, time to collapse and half-life"
    return Section(title, "table.html.j2", context, note, folded=True)


def thresholds(collection: Collection) -> Section | None:
    """Return a table of the dose at which each key metric has an effect of a stated size.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no dose was swept from 0.
    """
    dose = collection.dose
    names = [name for name in collection.names if name.is_key and name.metric in METRICS_WITH_THRESHOLD]
    found = [(name, response) for name in names for response in responses(collection, name.key)]
    with_label = any(response.label for _, response in found)
    rows = [_threshold_line(name, response, with_label) for name, response in found if EFFECT * response.control > 0]
    if not rows or dose is None:
        return None
    others = ["other settings"] if with_label else []
    header = ["metric", *others, "seeds", "effect", f"{short(dose)} that reaches it", "95 % interval"]
    note = (
        f"The smallest {short(dose)} at which a metric is worse than the control by half of the control's value and "
        "the interval of the paired difference lies above 0. Between two doses that were run, it is interpolated on a "
        f"straight line. The 95 % interval holds every {short(dose)} whose effect may be exactly that large."
    )
    return Section(f"Threshold of {short(dose)}", "table.html.j2", {"header": header, "rows": rows, "foot": []}, note)


def _threshold_line(name: Name, response: Response, with_label: bool) -> list[Field]:
    effect, largest, seeds = EFFECT * response.control, response.doses[-1], response.harm.shape[1]
    reached = threshold(response.doses, response.harm, effect)
    not_reached = Field(f"not up to {number(largest)}", math.inf) if seeds > 1 else Field("needs 2 seeds", math.nan)
    return [
        metric_field(name),
        *([text_field(response.label)] if with_label else []),
        Field(str(seeds), seeds),
        Field(number(effect), effect),
        not_reached if reached.dose is None else Field(number(reached.dose), reached.dose),
        text_field("–" if reached.lo is None else f"{number(reached.lo)} to {_upper_end(reached.hi, largest)}"),
    ]


def _has_two_generations(group: SeedGroup, name: Name) -> bool:
    return any(len(along(run, name.key)[0]) > 1 for run in group.runs)


def _line(group: SeedGroup, name: Name) -> list[Field]:
    chains = [along(run, name.key) for run in group.runs]
    slopes = [slope for x, y in map(_thinned, chains) if (slope := rate(x, y)) is not None]
    mean = slopes[0] if len(slopes) == 1 else of_mean([slope.value for slope in slopes])
    collapse_times = [_time_to_collapse(run, name) for run in group.runs if (floor_of(run, name.key) or 0) > 0]
    half_lives = [half_life(x, y) for x, y in chains if len(x)] if name.better == "higher" else []
    return [
        metric_field(name),
        *knob_fields(group.knobs),
        Field(str(len(slopes)), len(slopes)),
        number_field(mean.value),
        interval_field(mean),
        _median_field(collapse_times),
        _median_field(half_lives),
    ]


def _thinned(chain: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x, y = chain
    kept = evenly(len(x), MOST_POINTS)
    return x[kept], y[kept]


def _time_to_collapse(run: Run, name: Name) -> float | None:
    return time_to_collapse(*along(run, name.key), floor_of(run, name.key) or 0.0, name.better)


def _median_field(times: Sequence[float | None]) -> Field:
    """Return the median; where some chains have a time and others have none, also how many have one."""
    if not times:
        return number_field(None)
    median, reached = of_median(times).value, sum(time is not None for time in times)
    text = "never" if math.isinf(median) else number(median)
    return Field(text if reached in (0, len(times)) else f"{text} ({reached} of {len(times)})", median)


def _upper_end(hi: float | None, largest: float) -> str:
    return f"beyond {number(largest)}" if hi is None or math.isinf(hi) else number(hi)
