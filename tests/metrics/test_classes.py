from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from collapse_lab.errors import UserError
from collapse_lab.metrics.classes import Classes, class_entropy, classes_of, mode_coverage
from tests.metrics.cases import features, rng


def integers(predicted: list[int]) -> torch.Tensor:
    return torch.tensor(predicted, dtype=torch.int64)


def test_class_entropy_agrees_with_scipy() -> None:
    predicted = integers([0, 0, 0, 1, 1, 7])
    assert class_entropy(predicted) == pytest.approx(float(scipy.stats.entropy([3, 2, 1])), rel=1e-12)
    assert class_entropy(integers([4] * 9)) == 0
    assert class_entropy(torch.arange(10).repeat(6)) == pytest.approx(math.log(10), rel=1e-12)


def test_mode_coverage_counts_the_classes_with_enough_rows() -> None:
    predicted, classes = integers([0, 0, 0, 1, 1, 7]), torch.arange(4)
    assert mode_coverage(predicted, classes) == 0.5  # because 7 is not one of them
    assert mode_coverage(predicted, classes, least=3) == 0.25
    assert mode_coverage(predicted, integers([7])) == 1


def test_the_classes_of_a_real_set_are_its_labels_or_else_its_predictions() -> None:
    values = torch.zeros(4, 2)
    assert classes_of(features(values, labels=[2, 0, 2, -1], predicted=[5, 5, 5, 5])).tolist() == [0, 2]
    assert classes_of(features(values, labels=[-1] * 4, predicted=[3, 1, 1, 1])).tolist() == [1, 3]
    assert classes_of(features(values, labels=[-1] * 4)).tolist() == []


def test_every_class_of_the_real_set_has_a_share() -> None:
    generated = features(torch.randn(6, 2), predicted=[0, 0, 0, 2, 2, 9])
    real = features(torch.randn(4, 2), labels=[0, 1, 2, 2])
    estimates = Classes()(generated, real, rng())
    shares = {name: e.value for name, e in estimates.items() if name.startswith("class_share_")}
    assert shares == {"class_share_0": 0.5, "class_share_1": 0.0, "class_share_2": pytest.approx(1 / 3)}
    assert estimates["mode_coverage"].value == pytest.approx(2 / 3)
    assert estimates["class_entropy"].value == pytest.approx(float(scipy.stats.entropy([3, 2, 1])))
    for estimate in estimates.values():
        assert estimate.lo is not None
        assert estimate.hi is not None
        assert 0 <= estimate.lo <= estimate.value <= estimate.hi


@pytest.mark.parametrize(("counts", "narrow"), [([60] * 10, 1e-6), ([200, 200, 200, 0, 0], 0.5), ([599, 1], 0.6)])
def test_rare_classes_widen_the_interval_of_mode_coverage(counts: list[int], narrow: float) -> None:
    predicted = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    rows = features(torch.randn(len(predicted), 2), predicted=predicted.tolist())
    real = features(torch.randn(len(counts), 2), labels=list(range(len(counts))))
    estimate = Classes()(rows, real, rng())["mode_coverage"]
    width = (estimate.hi or 0.0) - (estimate.lo or 0.0)
    assert width <= narrow
    assert width > narrow / 10 or narrow == 1e-6


@pytest.mark.parametrize("count", [0, 1, 7, 30])
def test_the_interval_of_one_class_follows_clopper_and_pearson(count: int) -> None:
    rows = features(torch.randn(30, 2), predicted=[0] * count + [1] * (30 - count))
    estimate = Classes(least=3)(rows, features(torch.randn(2, 2), labels=[0, 0]), rng())["mode_coverage"]
    ends = scipy.stats.binomtest(count, 30).proportion_ci()
    least, most = (float(scipy.stats.binom.sf(2, 30, end)) for end in (ends.low, ends.high))
    assert estimate.value == float(count >= 3)
    assert estimate.lo == pytest.approx(min(estimate.value, least), abs=1e-9)
    assert estimate.hi == pytest.approx(max(estimate.value, most), abs=1e-9)


def test_the_result_is_empty_without_predictions_or_real_classes() -> None:
    unpredicted, predicted = features(torch.randn(3, 2)), features(torch.randn(3, 2), predicted=[0, 1, 1])
    unlabelled = features(torch.randn(3, 2), labels=[-1] * 3)
    assert Classes()(unpredicted, predicted, rng()) == {}
    assert Classes()(predicted, unlabelled, rng()) == {}


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="least is 0"):
        mode_coverage(integers([0]), integers([0]), least=0)
    with pytest.raises(UserError, match="0 predictions and 1 classes"):
        mode_coverage(integers([]), integers([0]))
    with pytest.raises(UserError, match="no predicted classes"):
        class_entropy(integers([]))
