"""Statistics of how far, how fast and how soon the chains of one group collapse."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_lab.results import collapse_quantities
from collapse_lab.results.intervals import of_median
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.series import along, final, floor_of, value
from collapse_lab.verify.measured import Measured, mean_of, measured
from collapse_lab.verify.pairing import runs_left_out
from collapse_lab.verify.statistics import GroupName, Groups, MetricName


def times_floor(groups: Groups, metric: MetricName, group: GroupName, generation: int | None = None) -> Measured:
    """Return mean(y / floor) over the chains of one group: how many times its floor the metric is.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        generation: The generation; None takes the last one of each chain.
    """
    ratios = []
    for run in groups[group]:
        at = final(run, metric) if generation is None else generation
        floor, y = floor_of(run, metric), value(run, metric, at)
        if floor is not None and floor > 0 and y is not None:
            ratios.append(y / floor)
    return _mean(ratios, groups[group], f"no run has {metric} beside a floor above 0")


def rate(groups: Groups, metric: MetricName, group: GroupName) -> Measured:
    """Return the mean over the chains of one group of the Theil-Sen slope, the change per generation.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
    """
    slopes = [collapse_quantities.rate(*along(run, metric)) for run in groups[group]]
    known = [slope.value for slope in slopes if slope is not None]
    return _mean(known, groups[group], f"no run has two generations of {metric}")


def time_to_collapse(
    groups: Groups, metric: MetricName, group: GroupName, multiple: float = collapse_quantities.MULTIPLE
) -> Measured:
    """Return the median over the chains of one group of the first generation that stays beyond a multiple of the floor.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        multiple: How many times the floor, above 1.
    """
    times: list[float | None] = []
    for run in groups[group]:
        floor = floor_of(run, metric)
        if floor is not None:
            times.append(
                collapse_quantities.time_to_collapse(*along(run, metric), floor, Name.of(metric).better, multiple)
            )
    return _median(times, f"no run has {metric} beside a floor")


def half_life(groups: Groups, metric: MetricName, group: GroupName) -> Measured:
    """Return the median over the chains of one group of the generations until the metric has fallen to half.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
    """
    chains = [along(run, metric) for run in groups[group]]
    return _median([collapse_quantities.half_life(x, y) for x, y in chains if len(x)], f"no run has {metric}")


def _mean(values: Sequence[float], runs: Sequence[Run], lacking: str) -> Measured:
    return mean_of(values, runs_left_out(len(runs) - len(values))) if values else Measured(None, note=lacking)


def _median(times: Sequence[float | None], lacking: str) -> Measured:
    if not times:
        return Measured(None, note=lacking)
    never = sum(time is None for time in times)
    note = f"never in {never} of {len(times)} chains" if never else ""
    return measured(lambda confidence: of_median(times, confidence), len(times), note)
