from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.config.binding import bind
from collapse_lab.errors import Diverged, UserError
from collapse_lab.features.classifier import Classifier
from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.types import RealData, Samples, Spec
from tests.features.cases import DIGITS, Unwatched, digits, noise


@cache
def trained() -> Classifier:
    classifier = Classifier(DIGITS)
    classifier.fit(digits(), Unwatched())
    return classifier


def brief(seed: int = 0) -> Classifier:
    classifier = Classifier(DIGITS, width=8, steps=5, seed=seed)
    classifier.fit(digits(), Unwatched())
    return classifier


def test_the_classifier_reads_held_out_digits() -> None:
    assert (trained().held_out_accuracy or 0) >= 0.98
    features = trained().extract(digits().reference)
    assert features.values.shape == (len(digits().reference), 128)
    assert features.values.dtype == torch.float32
    assert features.predicted is not None
    share = float((features.predicted == features.labels).double().mean())
    assert share == pytest.approx(trained().held_out_accuracy)


def test_training_rows_look_like_held_out_rows() -> None:
    train, held_out = (trained().extract(s).values for s in (digits().train, digits().reference))
    half = len(held_out) // 2
    floor = frechet_distance(held_out[:half], held_out[half : 2 * half])
    assert frechet_distance(train[:half], held_out[:half]) < 2 * floor


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(1)
    first = brief().weights()
    torch.manual_seed(2)
    second = brief().weights()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = brief(seed=1).weights()
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    brief()
    assert torch.equal(torch.rand(3), expected)


def test_loaded_weights_give_equal_features() -> None:
    saved = brief()
    restored = Classifier(DIGITS, width=8)
    restored.load(saved.weights())
    rows = digits().reference.take(np.arange(50))
    assert torch.equal(saved.extract(rows).values, restored.extract(rows).values)
    assert saved.fingerprint == restored.fingerprint
    assert saved.held_out_accuracy == pytest.approx(restored.held_out_accuracy)
    assert saved.weights()["held_out_accuracy"].dtype == torch.float32
    assert brief(seed=1).fingerprint != saved.fingerprint


def test_a_row_has_the_same_features_in_any_batch() -> None:
    rows = digits().reference
    of_whole_batch = trained().extract(rows).values[7:8]
    torch.testing.assert_close(trained().extract(rows.take(np.array([7]))).values, of_whole_batch, rtol=1e-4, atol=1e-5)


def test_uint8_and_float_images_are_read_alike() -> None:
    rows = digits().reference.take(np.arange(20))
    floats = dataclasses.replace(rows, data=rows.data.float() / 127.5 - 1)
    assert torch.equal(trained().extract(rows).values, trained().extract(floats).values)


def test_log_probabilities_are_those_of_the_predictions() -> None:
    rows = digits().reference.take(np.arange(40))
    table, features = trained().log_probabilities(rows), trained().extract(rows)
    assert table.shape == (40, 10)
    torch.testing.assert_close(table.exp().sum(1), torch.ones(40))
    assert features.predicted is not None
    assert torch.equal(table.argmax(1), features.predicted)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (3, 64, 64), (1, 9, 13), (1, 2, 2)])
def test_images_of_every_shape_have_features(shape: tuple[int, int, int]) -> None:
    spec = Spec("image", shape, ("a", "b", "c"))
    classifier, watched = Classifier(spec, width=4, hidden=16, steps=2, batch_size=8), Unwatched()
    classifier.fit(RealData(noise(spec, 12), noise(spec, 6, 1)), watched)
    features = classifier.extract(noise(spec, 5, 2))
    assert features.values.shape == (5, classifier.fingerprint["dimensions"])
    assert bool(features.values.isfinite().all())
    assert (watched.total, watched.steps) == (2, 2)


def test_rows_without_label_are_left_out_of_training() -> None:
    rows = digits().train
    labels = rows.labels.copy()
    labels[::2] = -1
    classifier = Classifier(DIGITS, width=4, steps=2)
    classifier.fit(RealData(dataclasses.replace(rows, labels=labels), digits().reference), Unwatched())
    none = Samples(rows.data, np.full(len(rows), -1))
    with pytest.raises(UserError, match="no training row"):
        classifier.fit(RealData(none, digits().reference), Unwatched())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"features\.classifier\.steps is 1 or more; got 0"),
        ({"batch_size": 0}, r"features\.classifier\.batch_size is 1 or more; got 0"),
        ({"width": 0}, r"features\.classifier\.width is 1 or more; got 0"),
        ({"hidden": 0}, r"features\.classifier\.hidden is 1 or more; got 0"),
        ({"lr": 0.0}, r"features\.classifier\.lr is above 0; got 0\.0"),
    ],
)
def test_a_value_outside_of_its_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    node = {"_target_": "collapse_lab.features.classifier.Classifier", **arguments}
    with pytest.raises(UserError, match=message):
        bind(node, "features.classifier", frozenset({"spec"}))


def test_a_loss_that_is_not_finite_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="the loss was nan at step"):
        Classifier(DIGITS, width=4, steps=30, lr=1e30).fit(digits(), Unwatched())


def test_wrong_data_and_untrained_networks_are_refused() -> None:
    with pytest.raises(UserError, match=r"features=\[pixels\]"):
        Classifier(Spec("image", (1, 8, 8)))
    with pytest.raises(UserError, match="tokens"):
        Classifier(Spec("tokens", (64,), ("a",)))
    with pytest.raises(UserError, match="neither been trained"):
        Classifier(DIGITS).extract(digits().reference)
    with pytest.raises(UserError, match=r"\(1, 8, 8\), not \(3, 8, 8\)"):
        trained().extract(noise(Spec("image", (3, 8, 8)), 2))
    with pytest.raises(UserError, match="not the weights"):
        Classifier(DIGITS, width=8).load(trained().weights())
