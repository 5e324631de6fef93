"""When groups vanish, over the seeds of a configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from scipy import stats

from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.vanishing import Vanishing, least_of, vanished
from tests.results.memory_runs import run

NAMES = [Name.of(f"seen/classifier/group_recall_{g}") for g in range(3)]
BY_GROUP = {"by_group": {"_target_": "collapse_lab.metrics.by_group.ByGroup", "least": 0.4}}


def chain(times: Sequence[int | None], seed: int = 0) -> Run:
    """Return a run of six generations in which group g vanishes at times[g]."""
    recalls = {
        name.key: [0.8 if time is None or g < time else 0.05 for g in range(6)]
        for name, time in zip(NAMES, times, strict=True)
    }
    return run(recalls, seed)


def test_groups_stand_in_the_order_in_which_they_vanish() -> None:
    order = vanished([chain([None, 4, 2])], NAMES)
    assert [(one.name, one.median, one.interval) for one in order] == [
        (NAMES[2], 2.0, None),
        (NAMES[1], 4.0, None),
        (NAMES[0], math.inf, None),
    ]


def test_over_seeds_the_median_counts_and_then_how_many_lose_the_group() -> None:
    runs = [chain(times, seed) for seed, times in enumerate([[None, None, 5], [None, None, 1], [None, 3, 2]])]
    order = vanished(runs, NAMES)
    assert [(one.name, one.median) for one in order] == [(NAMES[2], 2.0), (NAMES[1], math.inf), (NAMES[0], math.inf)]
    assert [one.interval for one in order] == [(1.0, 5.0, 0.75), (3.0, math.inf, 0.75), (math.inf, math.inf, 0.75)]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_seeds_have_the_interval_of_all_times_with_its_probability(n: int) -> None:
    interval = Vanishing(NAMES[0], tuple(float(i) for i in range(n))).interval
    assert interval is not None
    assert interval[:2] == (0.0, n - 1.0)
    # The median lies outside only where all n times lie on one side of it
    assert interval[2] == pytest.approx(1 - 2 * stats.binom.pmf(0, n, 0.5), rel=1e-12)


def test_six_seeds_have_an_interval_of_95_percent() -> None:
    assert Vanishing(NAMES[0], (3.0, 1.0, 2.0, None, 5.0, 4.0)).interval == (1.0, math.inf, 0.95)


def test_a_run_that_lacks_a_group_does_not_count_for_it() -> None:
    without = run({NAMES[0].key: [0.8, 0.0]}, 1)
    assert [len(one.times) for one in vanished([chain([1, 1, 1]), without], NAMES)] == [2, 1, 1]
    (lost,) = vanished([without], NAMES[1:2])
    assert (lost.times, lost.median, lost.interval) == ((), math.inf, None)


def test_the_limit_is_the_one_that_the_run_was_measured_with() -> None:
    values = {NAMES[0].key: [0.8, 0.3, 0.05]}
    runs = [run(values), run(values, metrics=BY_GROUP), run(values, metrics={"by_group": {"_target_": "x.ByGroup"}})]
    assert [least_of(one) for one in runs] == [0.1, 0.4, 0.1]
    assert [vanished([one], NAMES[:1])[0].times for one in runs] == [(2.0,), (1.0,), (2.0,)]
