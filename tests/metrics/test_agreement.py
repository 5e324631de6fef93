from __future__ import annotations

import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.metrics.agreement import Agreement
from tests.metrics.cases import features, rng


def test_agreement_is_the_share_of_labelled_rows_with_the_right_prediction() -> None:
    rows = features(torch.zeros(5, 2), labels=[0, 1, 2, -1, 2], predicted=[0, 1, 0, 2, 2])
    estimate = Agreement()(rows, rows, rng())["agreement"]
    assert estimate.value == 0.75
    assert 0 < (estimate.lo or 0) < 0.75 < (estimate.hi or 0) < 1


def test_agreement_is_empty_without_labels_or_predictions() -> None:
    unlabelled = features(torch.zeros(2, 2), labels=[-1, -1], predicted=[0, 1])
    unpredicted = features(torch.zeros(2, 2), labels=[0, 1])
    assert Agreement()(unlabelled, unpredicted, rng()) == {}
    assert Agreement()(unpredicted, unlabelled, rng()) == {}


def test_unequal_counts_are_refused() -> None:
    rows = features(torch.zeros(3, 2), predicted=[0, 1, 2])
    object.__setattr__(rows, "predicted", torch.zeros(2, dtype=torch.int64))  # because FeatureSet is frozen
    with pytest.raises(UserError, match="2 predicted classes"):
        Agreement()(rows, rows, rng())
