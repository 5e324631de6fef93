"""Statistics of two groups, paired by seed, and of two generations of one group, paired by run.

Intervals are Student's t over the pairs. A single pair has the interval of its two ledger intervals, which count as
independent. That interval is within the runs, over samples and not over seeds, and the note says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from collapse_lab.results.paired import Pairs, pairs
from collapse_lab.results.run import Run
from collapse_lab.results.series import point, value
from collapse_lab.types import Estimate
from collapse_lab.verify.measured import ONE_RUN, Measured, geometric_mean_of, mean_of
from collapse_lab.verify.pairing import lacking, left_out, matched
from collapse_lab.verify.smallest import smallest_of
from collapse_lab.verify.statistics import GroupName, Groups, MetricName


def difference(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, generation: int | None = None
) -> Measured:
    """Return mean(x_s - y_s), x of a group and y of its control, s their common seeds.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        control: The group that is subtracted.
        generation: The generation; None takes the last one that both runs of some pair have.
    """
    paired = pairs(groups[group], groups[control], metric, generation)
    return _subtracted(paired, _single(groups[group], metric, generation), _single(groups[control], metric, generation))


def ratio(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, generation: int | None = None
) -> Measured:
    """Return exp(mean(log(x_s / y_s))): how many times the control's value that of a group is.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        control: The group that is divided by.
        generation: The generation; None takes the last one that both runs of some pair have.
    """
    paired = pairs(groups[group], groups[control], metric, generation)
    return _divided(paired, _single(groups[group], metric, generation), _single(groups[control], metric, generation))


def least_ratio(groups: Groups, metric: MetricName, group: GroupName, generation: int | None = None) -> Measured:
    """Return the smallest `ratio` of a group to any other group: whether it is above every one of them.

    Its interval is that of `least_times_excess`.

    Args:
        groups: The runs of each group, two groups or more.
        metric: The metric.
        group: The group.
        generation: The generation; None takes the last one of each pair of groups.
    """
    others = [GroupName(name) for name in groups if name != group]
    return smallest_of({name: ratio(groups, metric, group, name, generation) for name in others})


def change(groups: Groups, metric: MetricName, group: GroupName, since: int, until: int) -> Measured:
    """Return mean(y_until - y_since) over the chains of one group.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        since: The earlier generation.
        until: The later generation.
    """
    runs = groups[group]
    return _subtracted(_along(runs, metric, since, until), _single(runs, metric, until), _single(runs, metric, since))


def difference_in_change(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, since: int, until: int
) -> Measured:
    """Return mean((x_until - x_since) - (y_until - y_since)): how much more a group changes than its control.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group, with values x.
        control: The control, with values y of the same seeds.
        since: The earlier generation.
        until: The later generation.
    """
    found = matched(groups, metric, [(group, until), (group, since), (control, until), (control, since)])
    if not len(found):
        return Measured(None, note=found.lacking)
    x_until, x_since, y_until, y_since = found.columns
    return mean_of((x_until - x_since) - (y_until - y_since), found.note)


def growth(groups: Groups, metric: MetricName, group: GroupName, since: int, until: int) -> Measured:
    """Return exp(mean(log(y_until / y_since))) over the chains of one group: how many times the earlier value.

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group.
        since: The earlier generation.
        until: The later generation.
    """
    runs = groups[group]
    return _divided(_along(runs, metric, since, until), _single(runs, metric, until), _single(runs, metric, since))


def _along(runs: Sequence[Run], metric: str, since: int, until: int) -> Pairs:
    ends = [(value(run, metric, until), value(run, metric, since)) for run in runs]
    known = [(late, early) for late, early in ends if late is not None and early is not None]
    x, y = np.asarray(known, float).reshape(-1, 2).T
    return Pairs(metric, until, x, y, len(runs) - len(known))


def _single(runs: Sequence[Run], metric: str, generation: int | None) -> Estimate:
    """Return value and interval of a single run; NaN where there are several runs, or where they are not known."""
    return Estimate(*point(runs, metric, generation)) if len(runs) == 1 else Estimate(math.nan, math.nan, math.nan)


def _subtracted(paired: Pairs, x: Estimate, y: Estimate) -> Measured:
    if not len(paired):
        return Measured(None, note=lacking(paired))
    over_pairs = mean_of(paired.x - paired.y, left_out(paired))
    return _alone(over_pairs, lambda: _apart(x, y)) if over_pairs.lo is None else over_pairs


def _divided(paired: Pairs, x: Estimate, y: Estimate) -> Measured:
    if not len(paired):
        return Measured(None, note=lacking(paired))
    over_pairs = geometric_mean_of(paired.x, paired.y, left_out(paired))
    return _alone(over_pairs, lambda: _times(x, y)) if over_pairs.value and over_pairs.lo is None else over_pairs


def _alone(over_pairs: Measured, of_ledger: Callable[[], Estimate]) -> Measured:
    """Return a number of one pair with the interval of its ledgers, where they have one."""
    single = of_ledger()
    if single.lo is None or not math.isfinite(single.lo):
        return over_pairs
    return Measured(over_pairs.value, single.lo, single.hi, 1, ONE_RUN)


def _apart(x: Estimate, y: Estimate) -> Estimate:
    """Return x - y of independent estimates."""
    half = math.hypot(_half(x), _half(y))
    return Estimate(x.value - y.value, x.value - y.value - half, x.value - y.value + half)


def _times(x: Estimate, y: Estimate) -> Estimate:
    """Return x / y of independent estimates above 0, with an interval on the scale of logarithms."""
    ends = [end for estimate in (x, y) for end in (estimate.value, estimate.lo, estimate.hi)]
    if not all(end is not None and end > 0 for end in ends):
        return Estimate(math.nan, math.nan, math.nan)
    logs = (Estimate(*(math.log(end) for end in (e.value, e.lo, e.hi) if end is not None)) for e in (x, y))
    apart = _apart(*logs)
    return Estimate(*(math.exp(end) for end in (apart.value, apart.lo, apart.hi) if end is not None))


def _half(estimate: Estimate) -> float:
    return math.nan if estimate.lo is None or estimate.hi is None else (estimate.hi - estimate.lo) / 2
