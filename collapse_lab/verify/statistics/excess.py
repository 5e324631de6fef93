"""Statistics of the excess over the floor, paired by seed.

The floor of a metric is its value for real rows against real rows, and the ledger has it (`<metric>_floor`). Most of a
Fréchet distance of a few hundred images is floor, so that a ratio of two such distances says little. The excess,
metric - floor, is what the model adds. Where a difference of two groups is taken, the floors cancel. All ratios here
are ratios of means over the seeds, with the interval of Fieller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from collapse_lab.errors import UserError
from collapse_lab.verify.measured import Measured, mean_of, ratio_of
from collapse_lab.verify.pairing import FLOOR, Matched, last_of_all, matched
from collapse_lab.verify.smallest import smallest_of
from collapse_lab.verify.statistics import GroupName, Groups, MetricName


def times_excess(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, generation: int | None = None
) -> Measured:
    """Return mean(x - floor) / mean(y - floor): how many times the control's excess that of a group is.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        group: The group, with values x.
        control: The group that is divided by, with values y.
        generation: The generation; None takes the last one of both.
    """
    found = _excess(groups, metric, [group, control], generation)
    return (
        ratio_of(found.columns[0], found.columns[1], found.note) if len(found) else Measured(None, note=found.lacking)
    )


def excess_growth(groups: Groups, metric: MetricName, group: GroupName, since: int, until: int) -> Measured:
    """Return mean(y_until - floor) / mean(y_since - floor) over the chains of one group.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        group: The group.
        since: The earlier generation.
        until: The later generation.
    """
    found = matched(groups, metric, [(group, until), (group, since), (group, FLOOR)])
    if not len(found):
        return Measured(None, note=found.lacking)
    late, early, floor = found.columns
    return ratio_of(late - floor, early - floor, found.note)


def least_excess_growth(groups: Groups, metric: MetricName, since: int, until: int) -> Measured:
    """Return the smallest `excess_growth` of all groups: of the one that changes least for the worse.

    Its interval is that of `least_times_excess`. The groups are not compared with each other, so they may be of
    different data sets.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        since: The earlier generation.
        until: The later generation.
    """
    return smallest_of({name: excess_growth(groups, metric, GroupName(name), since, until) for name in groups})


def least_growth_after_harm(
    groups: Groups, metric: MetricName, since: int, middle: int, until: int, harm: float
) -> Measured:
    """Return the smallest `excess_growth` from `middle` to `until` of the groups that were harmed before.

    A group was harmed where its `excess_growth` from `since` to `middle` is `harm` or more. A group that never became
    worse cannot settle, so it does not count. The interval is that of `least_times_excess`.

    Args:
        groups: The runs of each group, which may be of different data sets.
        metric: The metric, of which less is better.
        since: The generation before the harm.
        middle: The generation after the harm.
        until: The last generation.
        harm: The smallest growth that counts as harm, above 1.

    Returns:
        The growth; not a number where no group was harmed.
    """
    before = {name: excess_growth(groups, metric, GroupName(name), since, middle) for name in groups}
    unknown = next((growth for growth in before.values() if growth.value is None), None)
    if unknown is not None:
        return unknown
    harmed = [name for name, growth in before.items() if growth.value is not None and growth.value >= harm]
    if not harmed:
        n = min(growth.n for growth in before.values())
        return Measured(math.nan, n=n, note=f"no group grew {harm:g} times or more between {since} and {middle}")
    return smallest_of({name: excess_growth(groups, metric, GroupName(name), middle, until) for name in harmed})


def least_times_excess(
    groups: Groups, metric: MetricName, control: GroupName, generation: int | None = None
) -> Measured:
    """Return the smallest `times_excess` of all groups but the control: whether every one of them is that bad.

    The smallest is above a limit where each is, so that its lower end is the smallest of the lower ends. Its upper end
    is the smallest of upper ends that hold together (Bonferroni). n is the smallest number of seeds.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        control: The group that is divided by.
        generation: The generation; None takes the last one of each pair of groups.
    """
    others = [GroupName(name) for name in groups if name != control]
    return smallest_of({name: times_excess(groups, metric, name, control, generation) for name in others})


def extra_loss(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, since: int, until: int
) -> Measured:
    """Return mean((x_until - x_since) - (y_until - y_since)) / mean(y_since - floor).

    It is how much more than its control a group loses between two generations, in units of the control's excess.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        group: The group, with values x.
        control: The control, with values y.
        since: The earlier generation.
        until: The later generation.
    """
    places = [(group, until), (group, since), (control, until), (control, since), (control, FLOOR)]
    found = matched(groups, metric, places)
    if not len(found):
        return Measured(None, note=found.lacking)
    x_until, x_since, y_until, y_since, floor = found.columns
    return ratio_of((x_until - x_since) - (y_until - y_since), y_since - floor, found.note)


def gap_left(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, since: int, until: int
) -> Measured:
    """Return mean(x_until - y_until) / mean(x_since - y_since): the share of a gap to the control that remains.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        group: The group, with values x.
        control: The control, with values y.
        since: The generation at which the gap is 1.
        until: The later generation.
    """
    found = matched(groups, metric, [(group, until), (control, until), (group, since), (control, since)])
    if not len(found):
        return Measured(None, note=found.lacking)
    x_until, y_until, x_since, y_since = found.columns
    return ratio_of(x_until - y_until, x_since - y_since, found.note)


def share_left(
    groups: Groups,
    metric: MetricName,
    group: GroupName,
    untreated: GroupName,
    control: GroupName,
    generation: int | None = None,
) -> Measured:
    """Return mean(x - z) / mean(y - z): the share of the harm that a treatment leaves.

    Args:
        groups: The runs of each group.
        metric: The metric, of which less is better.
        group: The group that was treated, with values x.
        untreated: The group that was not, with values y.
        control: The group that was not harmed, with values z.
        generation: The generation; None takes the last one of all three.
    """
    names = [group, untreated, control]
    at = last_of_all(groups, names, metric) if generation is None else generation
    found = matched(groups, metric, [(name, at) for name in names])
    if not len(found):
        return Measured(None, note=found.lacking)
    x, y, z = found.columns
    return ratio_of(x - z, y - z, found.note)


def trend(groups: Groups, metric: MetricName, setting: str, generation: int | None = None) -> Measured:
    """Return the mean over the seeds of Spearman's rank correlation of a metric with a setting, over all groups.

    It is 1 where the metric rises from each value of the setting to the next larger one. Only seeds that all groups
    have are taken.

    Args:
        groups: The runs of each group, three groups or more.
        metric: The metric.
        setting: The dotted name of a setting that is a different number in each group, such as "ratio".
        generation: The generation; None takes the last one of all groups.

    Raises:
        UserError: There are fewer than three groups, or the setting is no number of its own in each group.
    """
    doses = [runs[0].flat.get(setting) for runs in groups.values()]
    numbers = [float(dose) for dose in doses if isinstance(dose, int | float) and not isinstance(dose, bool)]
    if len(set(numbers)) < len(groups) or len(groups) < 3:
        raise UserError(
            f"trend needs three groups or more with a number of their own as {setting}; got "
            f"{', '.join(map(str, doses))}: name another setting, or give each group another value"
        )
    at = last_of_all(groups, list(groups), metric) if generation is None else generation
    found = matched(groups, metric, [(name, at) for name in groups])
    if not len(found):
        return Measured(None, note=found.lacking)
    ranks = rankdata(found.columns, axis=0)
    correlations = [_correlation(rankdata(numbers), of_seed) for of_seed in ranks.T]
    return mean_of(correlations, found.note)


def _excess(groups: Groups, metric: str, names: Sequence[str], generation: int | None) -> Matched:
    """Return the excess of two groups over their floors, one column for each."""
    at = last_of_all(groups, names, metric) if generation is None else generation
    found = matched(groups, metric, [(name, place) for name in names for place in (at, FLOOR)])
    return Matched(found.columns[::2] - found.columns[1::2], found.note, found.lacking)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the correlation of two columns, 0 where one of them is constant."""
    return float(np.corrcoef(x, y)[0, 1]) if y.std() > 0 and math.isfinite(y.std()) else 0.0
