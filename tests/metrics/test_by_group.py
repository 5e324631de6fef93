"""Recall and kernel distance of each group of a prompt set, and the share of groups that survive."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.metrics.by_group import ByGroup, dispersion, surviving
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.prdc import prdc
from collapse_lab.types import Comparison, Estimate, FeatureSet
from tests.metrics.cases import modes, normal, rng

GROUPS = 3


def grouped(n: int, seed: int, d: int = 6) -> FeatureSet:
    """Return n rows of each group, whose centres are far from each other."""
    labels = torch.arange(GROUPS * n) % GROUPS
    return FeatureSet(normal(GROUPS * n, d, seed) + 20.0 * labels[:, None], labels)


REAL = grouped(60, 1)
BEFORE = {  # the last group's numbers, whose intervals are drawn last
    "group_recall_lowest": (0.85, 0.7205559393885295, 0.9794440606114705),
    "group_recall_2": (0.85, 0.7205559393885295, 0.9794440606114705),
    "group_coverage_2": (0.8333333333333334, 0.699044409667345, 0.9676222569993217),
    "group_kid_2": (-182764.48426246643, -2026315.2311744723, 1660786.2626495394),
}


def test_numbers_of_a_group_are_those_of_its_rows_alone() -> None:
    generated = grouped(40, 2)
    estimates = ByGroup(k=4)(generated, REAL, rng())
    for group in range(GROUPS):
        x, y = (rows.values[rows.labels == group] for rows in (generated, REAL))
        recall, coverage, kid = (estimates[f"group_{name}_{group}"] for name in ("recall", "coverage", "kid"))
        assert recall.value == prdc(x, y, 4)["recall"]
        assert coverage.value == prdc(x, y, 4)["coverage"]
        assert kid.value == pytest.approx(kernel_distance(x, y), rel=1e-9)
        for estimate in (recall, coverage, kid):
            assert estimate.lo is not None
            assert estimate.hi is not None
            assert estimate.lo < estimate.value < estimate.hi
    assert estimates["group_recall_lowest"].value == min(estimates[f"group_recall_{g}"].value for g in range(GROUPS))
    assert estimates["groups_surviving"].value == 1.0


def test_a_group_vanishes_if_its_images_are_alike_or_those_of_another_group() -> None:
    generated = grouped(40, 2)
    values = generated.values.clone()
    values[generated.labels == 0] = values[0] + 1e-3 * normal(40, 6, 3)
    values[generated.labels == 1] = values[generated.labels == 2].flip(0)
    estimates = ByGroup()(replace(generated, values=values), REAL, rng())
    assert estimates["group_recall_0"].value < 0.1
    assert estimates["group_recall_1"].value == 0.0
    assert estimates["group_recall_2"].value > 0.5
    assert estimates["groups_surviving"].value == pytest.approx(1 / 3)
    assert estimates["group_kid_1"].value > 10 * abs(estimates["group_kid_2"].value)


def test_noise_around_a_group_has_its_recall_and_none_of_its_coverage() -> None:
    generated = grouped(40, 2)
    noisy = torch.where(generated.labels[:, None] == 0, 8 * generated.values, generated.values)
    estimates = ByGroup()(replace(generated, values=noisy), REAL, rng())
    assert estimates["group_recall_0"].value > 0.9
    assert estimates["group_coverage_0"].value < 0.3
    assert estimates["group_coverage_2"].value > 0.8


def test_numbered_groups_count_before_labels_and_rows_without_a_group_are_left_out() -> None:
    plain = grouped(40, 2)
    none = torch.full((len(plain),), -1)
    numbered = replace(plain, labels=none, groups=plain.labels)
    real = replace(REAL, labels=torch.full((len(REAL),), -1), groups=REAL.labels)
    assert ByGroup()(numbered, real, rng()) == ByGroup()(plain, REAL, rng())
    fewer = replace(numbered, groups=torch.where(plain.labels == 1, -1, plain.labels))
    assert "group_recall_1" not in ByGroup()(fewer, real, rng())


def test_groups_with_too_few_rows_are_left_out_and_none_at_all_is_refused() -> None:
    generated = grouped(40, 2)
    keep = (REAL.labels != 2) | (torch.arange(len(REAL)) < 8)  # two rows of group 2
    real = replace(REAL, values=REAL.values[keep], labels=REAL.labels[keep])
    names = {name for name in ByGroup()(generated, real, rng()) if name.startswith("group_recall_")}
    assert names == {"group_recall_0", "group_recall_1", "group_recall_lowest", "group_recall_sd"}
    with pytest.raises(UserError, match=r"no group has more than k=60 generated rows .* leave by_group out"):
        ByGroup(k=60)(generated, REAL, rng())


def test_many_groups_have_a_summary_alone() -> None:
    estimates = ByGroup(most=2)(grouped(40, 2), REAL, rng())
    assert set(estimates) == {"groups_surviving", "group_recall_lowest", "group_recall_sd", "group_kid_sd"}
    plain = ByGroup(bootstrap=0)(grouped(40, 2), REAL, rng())
    assert all(estimate.lo is None for estimate in plain.values())


def test_a_k_that_no_group_admits_is_refused() -> None:
    ByGroup(k=3).check_run(Comparison(900, 100, True, groups=225))
    message = r"^900 samples of 300 groups are 3 a group, and k=3 takes 4 or more; raise n_samples to 1200, or lower k$"
    with pytest.raises(UserError, match=message):
        ByGroup(k=3).check_run(Comparison(900, 100, True, groups=300))


def test_the_interval_of_the_survivors_is_that_of_independent_groups() -> None:
    assert surviving([Estimate(0.9, 0.8, 1.0), Estimate(0.0, 0.0, 0.0)], 0.1) == Estimate(0.5, 0.5, 0.5)
    assert surviving([Estimate(0.9), Estimate(0.0)], 0.1) == Estimate(0.5)
    # Recalls at the limit survive half of the time: a sum of 400 coins
    of_coins = surviving([Estimate(0.1, 0.05, 0.15)] * 400, 0.1)
    assert of_coins.lo == pytest.approx(1 - 1.959964 * 0.5 / math.sqrt(400))
    recalls = [Estimate(value, value - 0.1, value + 0.1) for value in np.linspace(0.0, 0.5, 40)]
    interval = surviving(recalls, 0.25)
    errors = np.random.default_rng(0).normal(0, 0.1 / 1.959964, (20_000, 40))
    shares = (np.array([recall.value for recall in recalls]) + errors >= 0.25).mean(1)
    assert interval.lo is not None
    assert interval.hi is not None
    # The standard error of a standard deviation over 20,000 draws is 0.5 %
    assert (interval.hi - interval.lo) / (2 * 1.959964) == pytest.approx(shares.std(), rel=0.02)


@pytest.mark.parametrize("number", ["recall", "kid"])
def test_the_dispersion_is_numpys_standard_deviation_over_the_groups(number: str) -> None:
    generated = grouped(40, 2)
    values = torch.where(generated.labels[:, None] == 0, 0.3 * generated.values, generated.values)
    estimates = ByGroup()(replace(generated, values=values), REAL, rng())
    of_groups = [estimates[f"group_{number}_{group}"].value for group in range(GROUPS)]
    found = estimates[f"group_{number}_sd"]
    assert found.value == pytest.approx(np.std(of_groups), rel=1e-12)
    assert found.lo is not None
    assert found.hi is not None
    assert found.lo < found.value < found.hi
    plain = ByGroup(bootstrap=0)(replace(generated, values=values), REAL, rng())[f"group_{number}_sd"]
    assert plain == Estimate(found.value)


def test_the_dispersion_of_one_group_is_not_known() -> None:
    one = [replace(rows, labels=torch.zeros_like(rows.labels)) for rows in (grouped(40, 2), REAL)]
    assert not {"group_recall_sd", "group_kid_sd"} & set(ByGroup()(one[0], one[1], rng()))


def test_the_interval_of_the_dispersion_is_that_of_independent_groups() -> None:
    values, errors = np.linspace(0.1, 0.9, 12), np.linspace(0.01, 0.05, 12)
    halves = 1.959964 * errors
    found = dispersion([Estimate(v, v - h, v + h) for v, h in zip(values, halves, strict=True)], 0.5)
    assert found.value == pytest.approx(values.std(), rel=1e-12)
    drawn = (values + np.random.default_rng(0).normal(0, errors, (20_000, 12))).std(axis=1)
    assert found.lo is not None
    assert found.hi is not None
    # The standard error of a standard deviation over 20,000 draws is 0.5 %
    assert (found.hi - found.lo) / (2 * 1.959964) == pytest.approx(drawn.std(), rel=0.02)


def test_the_dispersion_of_equal_groups_reaches_as_far_as_their_noise() -> None:
    equal = dispersion([Estimate(0.1, 0.1 - 0.0196, 0.1 + 0.0196)] * 7, 0.5)
    assert (equal.value, equal.lo) == (0.0, 0.0)
    assert equal.hi == pytest.approx(0.0196, rel=1e-9)
    drawn = np.random.default_rng(0).normal(0.1, 0.01, (20_000, 7)).std(axis=1)
    assert np.quantile(drawn, 0.975) < equal.hi
    assert dispersion([Estimate(0.0, 0.0, 0.0), Estimate(1.0, 0.9, 1.0)], 0.5).hi == 0.5


def test_the_numbers_of_the_groups_do_not_change_with_their_summary() -> None:
    """The values are those that version 1 gave before it had a dispersion, so that stored results stay valid."""
    estimates = ByGroup()(grouped(40, 2), REAL, np.random.default_rng(5))
    for name, before in BEFORE.items():
        found = estimates[name]
        assert (found.value, found.lo, found.hi) == pytest.approx(before, rel=1e-9), name


@pytest.mark.parametrize("number", ["recall", "coverage"])
def test_the_interval_of_a_group_covers_its_expectation(number: str) -> None:
    draws = [(modes(30, 4, 2 * i, [0]), modes(50, 4, 2 * i + 1, [0])) for i in range(60)]
    labels = torch.zeros(30, dtype=torch.int64), torch.zeros(50, dtype=torch.int64)
    found = [
        ByGroup()(FeatureSet(x, labels[0]), FeatureSet(y, labels[1]), rng(i))[f"group_{number}_0"]
        for i, (x, y) in enumerate(draws)
    ]
    expectation = float(np.mean([estimate.value for estimate in found]))
    covered = [estimate.lo <= expectation <= estimate.hi for estimate in found if estimate.lo and estimate.hi]
    assert len(covered) == 60
    assert sum(covered) >= 52  # below it lies less than 1 % of Bin(60, 0.95)
