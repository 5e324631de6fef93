from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.datasets.digits import WORDS, Digits
from collapse_lab.errors import UserError
from collapse_lab.types import Samples

TEMPLATES = ["a handwritten {}", "the digit {} in pencil"]


def digits(**changes: Any) -> Digits:
    arguments: dict[str, Any] = {"reference_fraction": 0.3, "templates": TEMPLATES}
    return Digits(**(arguments | changes))


def rows_of(samples: Samples) -> set[bytes]:
    return {row.numpy().tobytes() for row in samples.data}


def test_all_rows_have_the_documented_shape_and_range() -> None:
    data = digits()
    real = data.load()
    assert (len(real.train), len(real.reference)) == (1258, 539)
    assert real.train.data.dtype == torch.uint8
    assert tuple(real.train.data.shape[1:]) == data.spec.shape == (1, 8, 8)
    assert (int(real.train.data.min()), int(real.train.data.max())) == (0, 255)
    assert data.spec.classes == WORDS
    assert len(data.spec.vocabulary) == 20
    assert data.load() is real


def test_splits_are_disjoint_stratified_and_stable() -> None:
    real, again = digits().load(), digits().load()
    assert not rows_of(real.train) & rows_of(real.reference)
    assert torch.equal(real.reference.data, again.reference.data)
    share = np.bincount(real.reference.labels) / np.bincount(np.r_[real.reference.labels, real.train.labels])
    assert np.abs(share - 0.3).max() < 0.01


def test_captions_name_the_label_and_are_the_same_in_every_split() -> None:
    by_row: dict[bytes, str] = {}
    for seed in (0, 1):
        real = digits(split_seed=seed).load()
        for samples in (real.train, real.reference):
            for row, label, text in zip(samples.data, samples.labels, samples.captions.texts(), strict=True):
                assert WORDS[label] in text.split()
                assert by_row.setdefault(row.numpy().tobytes(), text) == text


def test_a_smaller_limit_gives_a_subset_and_the_same_reference() -> None:
    small, large = digits(limit=50).load(), digits(limit=200).load()
    assert (len(small.train), len(large.train)) == (50, 200)
    assert rows_of(small.train) <= rows_of(large.train)
    assert torch.equal(small.reference.data, large.reference.data)


def test_validation_rows_are_a_share_of_the_training_rows_of_every_label_before_the_limit() -> None:
    plain, real = digits().load(), digits(validation_fraction=0.2, limit=100).load()
    validation = real.validation
    assert validation is not None
    assert plain.validation is None
    assert (len(validation), len(real.train)) == (round(0.2 * 1258), 100)
    assert torch.equal(real.reference.data, plain.reference.data)
    assert rows_of(validation) <= rows_of(plain.train)
    assert not rows_of(validation) & (rows_of(real.train) | rows_of(real.reference))
    share = np.bincount(validation.labels) / np.bincount(plain.train.labels)
    assert np.abs(share - 0.2).max() < 0.01
    assert {digits().key} == {digits(validation_fraction=None).key} != {digits(validation_fraction=0.2).key}


def test_validation_rows_of_kept_classes_are_those_of_the_whole_data_set() -> None:
    whole, two = digits(validation_fraction=0.2).load(), digits(validation_fraction=0.2, only=[7, 2]).load()
    assert whole.validation is not None
    assert two.validation is not None
    kept = np.flatnonzero(np.isin(whole.validation.labels, [7, 2]))
    assert torch.equal(two.validation.data, whole.validation.data[kept])
    with pytest.raises(UserError, match=r"only=\[7\] leaves no row of validation_fraction=0\.0016"):
        digits(validation_fraction=0.0016, only=[7]).load()


def test_resizing_keeps_the_mean_brightness() -> None:
    small, large = digits().load().train.data.float(), digits(image_size=16).load().train.data.float()
    assert large.shape[1:] == (1, 16, 16)
    assert abs(float(small.mean() - large.mean())) < 2


def test_the_key_changes_with_every_argument_that_changes_the_rows() -> None:
    changes: list[dict[str, Any]] = [
        {"limit": 10},
        {"split_seed": 1},
        {"image_size": 16},
        {"reference_fraction": 0.2},
        {"templates": []},
    ]
    keys = {digits(**change).key for change in changes} | {digits().key}
    assert len(keys) == 6
    assert digits().key == digits(templates=tuple(TEMPLATES)).key


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_reference_fraction_out_of_range_is_refused_by_the_constructor(fraction: float) -> None:
    with pytest.raises(UserError, match="reference_fraction must"):
        digits(reference_fraction=fraction)


def test_too_large_a_limit_and_a_missing_official_split_are_refused_when_loaded() -> None:
    with pytest.raises(UserError, match="there are 1258"):
        digits(limit=1259).load()
    with pytest.raises(UserError, match="no official test rows"):
        digits(reference_fraction=None).load()
