from __future__ import annotations

from functools import cache

import pytest
import torch

from collapse_lab.config.binding import bind
from collapse_lab.datasets.mnist import MNIST
from collapse_lab.errors import UserError
from collapse_lab.features.lenet import LeNet, LeNet5
from collapse_lab.types import RealData, Spec
from tests.features.cases import DIGITS, Unwatched, digits, noise


@cache
def trained() -> LeNet:
    lenet = LeNet(DIGITS, steps=150)
    lenet.fit(digits(), Unwatched())
    return lenet


def test_the_number_of_parameters_is_the_published_one() -> None:
    # The paper has 60,000 trainable parameters, because its second layer is not fully connected and its head is fixed
    sizes = {name: tensor.numel() for name, tensor in LeNet5(1, 10).named_parameters()}
    assert sum(sizes.values()) == 61706  # the usual count of LeNet-5 with full connections
    assert LeNet5(1, 10).body(torch.zeros(1, 1, 32, 32)).shape == (1, 84)


def test_lenet_reads_held_out_digits() -> None:
    assert (trained().held_out_accuracy or 0) >= 0.95
    features = trained().extract(digits().reference)
    assert features.values.shape == (len(digits().reference), 84)
    assert features.predicted is not None
    share = float((features.predicted == features.labels).double().mean())
    assert share == pytest.approx(trained().held_out_accuracy)
    assert trained().log_probabilities(digits().reference).argmax(1).equal(features.predicted)


def test_the_features_are_the_layer_before_the_logits() -> None:
    state = trained().weights()
    features = trained().extract(digits().reference)
    assert features.predicted is not None
    logits = features.values @ state["head.weight"].T + state["head.bias"]
    assert logits.argmax(1).equal(features.predicted)


def test_loaded_weights_give_equal_features() -> None:
    restored = LeNet(DIGITS)
    restored.load(trained().weights())
    rows = digits().reference
    assert torch.equal(restored.extract(rows).values, trained().extract(rows).values)
    assert restored.fingerprint == trained().fingerprint
    assert restored.fingerprint["resize"] == "bilinear, antialiased, to 32x32"


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 48), (1, 2, 2)])
def test_images_of_every_shape_have_features(shape: tuple[int, int, int]) -> None:
    spec = Spec("image", shape, ("a", "b", "c"))
    lenet = LeNet(spec, steps=2, batch_size=8)
    lenet.fit(RealData(noise(spec, 12), noise(spec, 6, 1)), Unwatched())
    values = lenet.extract(noise(spec, 5, 2)).values
    assert values.shape == (5, 84)
    assert bool(values.isfinite().all())


def test_a_data_set_without_classes_is_refused() -> None:
    with pytest.raises(UserError, match="'lenet' need a data set with classes"):
        LeNet(Spec("image", (1, 8, 8)))


def test_a_number_of_steps_below_one_is_refused() -> None:
    node = {"_target_": "collapse_lab.features.lenet.LeNet", "steps": 0}
    with pytest.raises(UserError, match=r"features\.lenet\.steps is 1 or more; got 0"):
        bind(node, "features.lenet", frozenset({"spec"}))


@pytest.mark.hub
def test_lenet_reads_mnist(cache: str) -> None:
    real = MNIST(cache=cache).load()
    lenet = LeNet(Spec("image", (1, 28, 28), tuple("0123456789")))
    lenet.fit(real, Unwatched())
    print(f"\naccuracy on MNIST's test rows: {lenet.held_out_accuracy}")
    assert (lenet.held_out_accuracy or 0) > 0.98
