from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.intervals import of_times
from collapse_lab.results.paired import controls, paired, pairs
from tests.results.memory_runs import METRIC, PRINT, chains, run

HIGH, LOW = [3.7, 3.1, 3.6, 3.2], [0.8, 0.7, 0.9, 0.6]


def test_the_difference_agrees_with_the_paired_t_test_of_scipy() -> None:
    difference = paired(chains(HIGH, ratio=1), chains(LOW, ratio=0), METRIC)
    expected = stats.ttest_rel(HIGH, LOW).confidence_interval(0.95)
    assert difference.mean is not None
    assert (difference.mean.lo, difference.mean.hi) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert difference.mean.value == pytest.approx(np.mean(HIGH) - np.mean(LOW))
    assert difference.relative == pytest.approx(np.mean(HIGH) / np.mean(LOW) - 1)
    assert (difference.n, difference.left_out, difference.generation, difference.note) == (4, 0, 1, "")
    swapped = paired(chains(LOW, ratio=0), chains(HIGH, ratio=1), METRIC)
    assert swapped.mean is not None
    assert swapped.mean.value == pytest.approx(-difference.mean.value)


def test_pairing_removes_the_effect_of_the_seed() -> None:
    """Each seed shifts both runs by ten times the effect; only a paired interval can find the effect."""
    shift = np.random.default_rng(0).normal(0, 10, 5)
    runs, control = chains(list(20 + shift + 1 + 0.01 * np.arange(5))), chains(list(20 + shift))
    mean = paired(runs, control, METRIC).mean
    assert mean is not None
    assert mean.lo is not None
    assert mean.hi is not None
    assert 0.9 < mean.lo < 1.02 < mean.hi < 1.2


def test_seeds_without_a_partner_are_left_out_and_counted() -> None:
    runs = [run({METRIC: [1.0, 5.0]}, seed) for seed in (0, 1, 2)]
    control = [run({METRIC: [1.0, 2.0]}, seed) for seed in (2, 1, 7)]
    difference = paired(runs, control, METRIC)
    assert (difference.n, difference.left_out) == (2, 2)
    assert difference.note == "2 runs left out"
    assert difference.mean is not None
    assert difference.mean.value == 3.0


def test_one_pair_has_no_interval_and_a_note() -> None:
    difference = paired(chains([3.0]), chains([1.0]), METRIC)
    assert difference.mean is not None
    assert (difference.mean.value, difference.mean.lo, difference.effect) == (2.0, None, None)
    assert difference.note == "one pair, no interval"


def test_without_a_pair_there_is_no_number() -> None:
    difference = paired(chains([3.0]), [run({METRIC: [1.0]}, 9)], METRIC)
    assert (difference.n, difference.mean, difference.effect, difference.control, difference.relative) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert difference.note == "no pair, 2 runs left out"
    assert of_times([], []) is None


def test_the_generation_is_the_last_one_that_both_runs_of_a_pair_have() -> None:
    long, short = run({METRIC: [1.0, 2.0, 9.0]}, 0), run({METRIC: [1.0, 1.5]}, 0)
    assert pairs([long], [short], METRIC).generation == 1
    unfinished = [run({METRIC: [1.0, 2.0, 3.0]}, 0), run({METRIC: [1.0, 2.0]}, 1)]
    matched = pairs(unfinished, [run({METRIC: [1.0, 1.0, 1.0]}, seed) for seed in (0, 1)], METRIC)
    assert (matched.generation, len(matched), matched.left_out) == (2, 1, 2)
    assert paired([long], [short], METRIC, generation=0).generation == 0


def test_different_features_are_refused() -> None:
    other = [run({METRIC: [1.0, 1.0]}, 0, {"classifier": {**PRINT, "weights": "0" * 16}})]
    with pytest.raises(UserError, match="weights of classifier features are 1f2e3d… here and 000000… there"):
        paired(chains([3.0]), other, METRIC)


def test_the_ratio_is_the_mean_of_logarithms() -> None:
    times = of_times(HIGH, LOW)
    logs = np.log(np.divide(HIGH, LOW))
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert times is not None
    assert times.value == pytest.approx(math.exp(logs.mean()))
    assert (times.lo, times.hi) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert of_times([1.0, 0.0], [1.0, 1.0]) is None
    alone = of_times([2.0], [1.0])
    assert alone is not None
    assert alone.lo is None


def test_the_control_is_dose_0_of_the_same_other_settings_or_else_the_first_seed_group() -> None:
    runs = [
        run({METRIC: [1.0, 2.0]}, 0, ratio=ratio, scale=scale, curation={"_target_": f"collapse_lab.curation.x.{name}"})
        for ratio in (0.0, 0.5)
        for scale, name in ((1, "One"), (2, "Two"))
    ]
    collection = gathered(runs)
    for group, control in zip(collection.seed_groups, controls(collection), strict=True):
        assert control.knobs["ratio"] == 0
        assert control.runs[0].config["scale"] == group.runs[0].config["scale"]
    without_zero = gathered([r for r in runs if r.config["ratio"]])
    assert all(control is without_zero.seed_groups[0] for control in controls(without_zero))
