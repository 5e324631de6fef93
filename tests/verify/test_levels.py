"""Statistics that read the ledger's own intervals: values computed by hand, intervals checked by simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from collapse_lab.results.run import Run
from collapse_lab.verify.measured import ONE_RUN, Needed, judge
from collapse_lab.verify.statistics import GroupName, MetricName
from collapse_lab.verify.statistics.levels import largest_step, level
from collapse_lab.verify.statistics.pairs import change, difference, growth, ratio
from tests.results.memory_runs import run

METRIC, GROUP = MetricName("all/variance"), GroupName("one")
Z = norm.ppf(0.975)


def chain(values: Sequence[float], half: float | None = None, seed: int = 0) -> Run:
    rows: dict[str, Sequence[float | None]] = {METRIC: values}
    if half is not None:
        rows |= {f"{METRIC}_lo": [y - half for y in values], f"{METRIC}_hi": [y + half for y in values]}
    return run(rows, seed, prints={})


def group(*runs: Run) -> dict[str, tuple[Run, ...]]:
    return {GROUP: runs}


def test_a_level_has_the_interval_of_a_single_run_or_of_several() -> None:
    measured = level(group(chain([1.0, 2.0], half=0.5)), METRIC, GROUP, generation=1)
    assert (measured.value, measured.lo, measured.hi, measured.n, measured.note) == (2.0, 1.5, 2.5, 1, ONE_RUN)
    three = [chain([1.0, y], half=9.0, seed=seed) for seed, y in enumerate((2.0, 3.0, 4.0))]
    measured = level(group(*three), METRIC, GROUP)
    assert measured.value == 3.0
    assert measured.hi == pytest.approx(3 + 4.302653 / np.sqrt(3))
    assert measured.note == ""
    alone = level(group(chain([1.0])), METRIC, GROUP)
    assert (alone.value, alone.lo, alone.note) == (1.0, None, "")
    assert judge(alone, Needed(low=0))[0] == "inconclusive"
    assert level(group(*three, chain([1.0], seed=3)), METRIC, GROUP, 1).note == "1 run left out"
    assert level(group(chain([1.0])), METRIC, GROUP, 5).note == "no run has all/variance at generation 5"


def test_the_largest_step_is_below_0_where_every_step_falls() -> None:
    falling = chain([5.0, 4.0, 2.5, 2.0], half=0.1)
    measured = largest_step(group(falling), METRIC, GROUP)
    wider = norm.ppf(1 - 0.025 / 3) / Z
    assert measured.value == pytest.approx(-0.5)
    assert measured.hi == pytest.approx(-0.5 + wider * np.hypot(0.1, 0.1))
    assert measured.note == ONE_RUN
    assert largest_step(group(falling), METRIC, GROUP, 0, 2).value == pytest.approx(-1.0)
    assert largest_step(group(chain([5.0, 4.0])), METRIC, GROUP).lo is None
    several = largest_step(group(falling, chain([5.0, 4.0, 3.0, 2.3], seed=1)), METRIC, GROUP)
    assert [several.value, several.n] == pytest.approx([-0.6, 2])
    assert several.note == ""
    rising = group(*(chain([5.0, 4.0, last], seed=seed) for seed, last in enumerate((4.4, 4.5, 4.6))))
    assert judge(largest_step(rising, METRIC, GROUP), Needed(high=0))[0] == "not reproduced"
    three = group(*(chain([5.0, 4.0, last], seed=seed) for seed, last in enumerate((2.8, 2.9, 3.0))))
    assert judge(largest_step(three, METRIC, GROUP), Needed(high=0))[0] == "reproduced"
    assert largest_step(group(falling), METRIC, GROUP, 0, 9).value is None


def test_the_interval_contains_the_largest_of_several_steps_95_times_in_100() -> None:
    """The true steps are -1, -0.5 and -0.2."""
    rng, steps, inside = np.random.default_rng(0), np.array([3.0, 2.0, 1.5, 1.3]), 0
    for _ in range(400):
        drawn = chain((steps + 0.1 * rng.standard_normal(4)).tolist(), half=0.1 * Z)
        measured = largest_step(group(drawn), METRIC, GROUP)
        assert measured.lo is not None
        assert measured.hi is not None
        inside += measured.lo <= -0.2 <= measured.hi
    assert inside / 400 >= 0.95


def test_a_single_pair_has_the_interval_of_its_two_runs() -> None:
    other = GroupName("other")
    both: dict[str, tuple[Run, ...]] = {
        GROUP: (chain([2.0, 5.0], half=0.3),),
        other: (chain([2.0, 3.0], half=0.4),),
    }
    for measured, value in (
        (change(both, METRIC, GROUP, 0, 1), 3.0),
        (difference(both, METRIC, GROUP, other, 1), 2.0),
    ):
        half = np.hypot(0.3, 0.3) if value == 3.0 else np.hypot(0.3, 0.4)
        assert (measured.value, measured.n, measured.note) == (value, 1, ONE_RUN)
        assert measured.lo == pytest.approx(value - half)
        assert measured.hi == pytest.approx(value + half)


def test_a_single_ratio_has_the_interval_of_its_two_logarithms() -> None:
    other = GroupName("other")
    rows = {METRIC: [1.0, 4.0], f"{METRIC}_lo": [0.8, 2.0], f"{METRIC}_hi": [1.25, 8.0]}
    both: dict[str, tuple[Run, ...]] = {
        GROUP: (run(rows, 0, prints={}),),
        other: (chain([1.0, 1.0], half=0.0),),
    }
    grown, times = growth(both, METRIC, GROUP, 0, 1), ratio(both, METRIC, GROUP, other, 1)
    assert (grown.value, times.value) == (4.0, 4.0)
    assert grown.lo == pytest.approx(4 / np.exp(np.hypot(np.log(2), np.log(1.25))))
    assert times.lo == pytest.approx(2)
    assert times.hi == pytest.approx(8)


def test_several_pairs_have_the_interval_over_pairs() -> None:
    runs = tuple(chain([1.0, y], half=9.0, seed=seed) for seed, y in enumerate((2.0, 3.0, 4.0)))
    measured = change(group(*runs), METRIC, GROUP, 0, 1)
    assert (measured.value, measured.n, measured.note) == (2.0, 3, "")
    assert measured.hi == pytest.approx(2 + 4.302653 / np.sqrt(3))
