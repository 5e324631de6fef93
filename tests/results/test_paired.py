from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.paired import controls, paired, pairs, ratio
from tests.results.made import METRIC, PRINT, chains, run

HIGH, LOW = [3.7, 3.1, 3.6, 3.2], [0.8, 0.7, 0.9, 0.6]


def test_the_difference_is_scipys_paired_t() -> None:
    found = paired(chains(HIGH, ratio=1), chains(LOW, ratio=0), METRIC)
    expected = stats.ttest_rel(HIGH, LOW).confidence_interval(0.95)
    assert found.mean is not None
    assert (found.mean.lo, found.mean.hi) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.mean.value == pytest.approx(np.mean(HIGH) - np.mean(LOW))
    assert found.relative == pytest.approx(np.mean(HIGH) / np.mean(LOW) - 1)
    assert (found.n, found.left_out, found.generation, found.note) == (4, 0, 1, "")
    swapped = paired(chains(LOW, ratio=0), chains(HIGH, ratio=1), METRIC)
    assert swapped.mean is not None
    assert swapped.mean.value == pytest.approx(-found.mean.value)


def test_pairing_removes_what_a_seed_decides() -> None:
    """A shift of each seed's own, ten times the effect: the paired interval finds it, an unpaired one could not."""
    shift = np.random.default_rng(0).normal(0, 10, 5)
    cell, baseline = chains(list(20 + shift + 1 + 0.01 * np.arange(5))), chains(list(20 + shift))
    found = paired(cell, baseline, METRIC).mean
    assert found is not None
    assert found.lo is not None
    assert found.hi is not None
    assert 0.9 < found.lo < 1.02 < found.hi < 1.2


def test_seeds_without_a_partner_are_left_out_and_counted() -> None:
    cell = [run({METRIC: [1.0, 5.0]}, seed) for seed in (0, 1, 2)]
    baseline = [run({METRIC: [1.0, 2.0]}, seed) for seed in (2, 1, 7)]
    found = paired(cell, baseline, METRIC)
    assert (found.n, found.left_out) == (2, 2)
    assert found.note == "2 runs left out"
    assert found.mean is not None
    assert found.mean.value == 3.0


def test_one_pair_has_no_interval_and_says_so() -> None:
    found = paired(chains([3.0]), chains([1.0]), METRIC)
    assert found.mean is not None
    assert (found.mean.value, found.mean.lo, found.effect) == (2.0, None, None)
    assert found.note == "one pair, no interval"


def test_no_pair_has_no_number() -> None:
    found = paired(chains([3.0]), [run({METRIC: [1.0]}, 9)], METRIC)
    assert (found.n, found.mean, found.effect, found.baseline, found.relative) == (0, None, None, None, None)
    assert found.note == "no pair, 2 runs left out"
    assert ratio(pairs(chains([3.0]), [], METRIC)) is None


def test_the_generation_is_the_last_that_a_pair_shares() -> None:
    long, short = run({METRIC: [1.0, 2.0, 9.0]}, 0), run({METRIC: [1.0, 1.5]}, 0)
    assert pairs([long], [short], METRIC).generation == 1
    unfinished = [run({METRIC: [1.0, 2.0, 3.0]}, 0), run({METRIC: [1.0, 2.0]}, 1)]
    found = pairs(unfinished, [run({METRIC: [1.0, 1.0, 1.0]}, seed) for seed in (0, 1)], METRIC)
    assert (found.generation, len(found), found.left_out) == (2, 1, 2)
    assert paired([long], [short], METRIC, generation=0).generation == 0


def test_unlike_features_are_refused() -> None:
    other = [run({METRIC: [1.0, 1.0]}, 0, {"classifier": {**PRINT, "weights": "0" * 16}})]
    with pytest.raises(UserError, match="weights 1f2e3d… against 000000…"):
        paired(chains([3.0]), other, METRIC)


def test_the_ratio_is_of_logarithms() -> None:
    found = ratio(pairs(chains(HIGH), chains(LOW), METRIC))
    logs = np.log(np.divide(HIGH, LOW))
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found is not None
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert (found.lo, found.hi) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert ratio(pairs(chains([1.0, 0.0]), chains([1.0, 1.0]), METRIC)) is None
    alone = ratio(pairs(chains([2.0]), chains([1.0]), METRIC))
    assert alone is not None
    assert alone.lo is None


def test_the_control_is_the_dose_0_of_the_same_other_settings_or_else_the_first_cell() -> None:
    runs = [
        run({METRIC: [1.0, 2.0]}, 0, ratio=ratio, scale=scale, curation={"_target_": f"collapse_lab.curation.x.{name}"})
        for ratio in (0.0, 0.5)
        for scale, name in ((1, "One"), (2, "Two"))
    ]
    collection = gathered(runs)
    for cell, found in zip(collection.cells, controls(collection), strict=True):
        assert found.knobs["ratio"] == 0
        assert found.runs[0].config["scale"] == cell.runs[0].config["scale"]
    without = gathered([r for r in runs if r.config["ratio"]])
    assert all(found is without.cells[0] for found in controls(without))
