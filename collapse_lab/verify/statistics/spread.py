"""Statistics of how much runs, or the classes of one run, differ among themselves."""

from __future__ import annotations

import numpy as np

from collapse_lab.metrics.catalogue import CLASS_SHARE
from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.intervals import of_spreads
from collapse_lab.results.names import SUFFIXES
from collapse_lab.results.run import Run
from collapse_lab.results.series import value
from collapse_lab.verify.measured import Measured, mean_of, measured
from collapse_lab.verify.pairing import last_of_all, matched, runs_left_out
from collapse_lab.verify.statistics import GroupName, Groups, MetricName


def spread_over_seeds(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, generation: int | None = None
) -> Measured:
    """Return s_x / s_y: how many times the spread of the control between seeds that of a group is.

    The interval is that of Pitman and Morgan for paired values (`results.intervals.of_spreads`).

    Args:
        groups: The runs of each group.
        metric: The metric.
        group: The group, with values x.
        control: The control, with values y.
        generation: The generation; None takes the last one of both.
    """
    at = last_of_all(groups, [group, control], metric) if generation is None else generation
    found = matched(groups, metric, [(group, at), (control, at)])
    if not len(found):
        return Measured(None, note=found.lacking)
    x, y = found.columns
    return measured(lambda confidence: of_spreads(x, y, confidence), len(found), found.note, "log")


def class_dispersion(
    groups: Groups, metric: MetricName, group: GroupName, control: GroupName, generation: int
) -> Measured:
    """Return mean(v_s - w_s), v and w the relative deviations of the classes' shares in a group and in its control.

    With p_c the share of class c of k among the generated images, v = √(k Σ_c (p_c - 1/k)²). It is 0 where all classes
    come equally often, and √(k - 1) where only one comes.

    Args:
        groups: The runs of each group.
        metric: The share of any class, e.g. seen/classifier/class_share_0; all classes of its place are read.
        group: The group.
        control: The control.
        generation: The generation.
    """
    require_comparable([*groups[group], *groups[control]], metric)
    by_seed = [{run.seed: _dispersion(run, metric, generation) for run in groups[name]} for name in (group, control)]
    known = [(x, y) for seed, x in by_seed[0].items() if x is not None and (y := by_seed[1].get(seed)) is not None]
    if not known:
        return Measured(None, note=f"no pair of runs has {metric} at generation {generation}")
    return mean_of([x - y for x, y in known], runs_left_out(sum(map(len, by_seed)) - 2 * len(known)))


def _dispersion(run: Run, metric: str, generation: int) -> float | None:
    """Return √(k Σ_c (p_c - 1/k)²) over the classes of one run; None where their shares are not known."""
    place = metric.partition(CLASS_SHARE)[0] + CLASS_SHARE
    keys = sorted(
        {key for r in run.records for key in r.metrics if key.startswith(place) and not key.endswith(SUFFIXES)}
    )
    shares = [share for key in keys if (share := value(run, key, generation)) is not None]
    if not shares:
        return None
    return float(np.sqrt(len(shares) * np.sum((np.asarray(shares) - 1 / len(shares)) ** 2)))
