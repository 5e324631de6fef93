from __future__ import annotations

from functools import cache

import pytest
import torch

from collapse_lab.datasets.mnist import MNIST
from collapse_lab.errors import UserError
from collapse_lab.features.lenet import LeNet, LeNet5
from collapse_lab.types import RealData, Spec
from tests.features.cases import DIGITS, Unwatched, digits, noise


@cache
def trained() -> LeNet:
    lenet = LeNet(DIGITS, steps=300)
    lenet.fit(digits(), Unwatched())
    return lenet


def test_it_has_the_published_number_of_parameters() -> None:
    """60,000 trainable parameters in the paper, whose second layer is not connected in full and whose head is fixed."""
    sizes = {name: tensor.numel() for name, tensor in LeNet5(1, 10).named_parameters()}
    assert sum(sizes.values()) == 61706  # the count given wherever LeNet-5 is written with full connections
    assert LeNet5(1, 10).body(torch.zeros(1, 1, 32, 32)).shape == (1, 84)


def test_reads_held_out_digits() -> None:
    assert (trained().held_out_accuracy or 0) >= 0.95
    found = trained().extract(digits().reference)
    assert found.values.shape == (len(digits().reference), 84)
    assert found.predicted is not None
    share = float((found.predicted == found.labels).double().mean())
    assert share == pytest.approx(trained().held_out_accuracy)
    assert trained().log_probabilities(digits().reference).argmax(1).equal(found.predicted)


def test_features_are_those_before_the_logits() -> None:
    state = trained().weights()
    found = trained().extract(digits().reference)
    assert found.predicted is not None
    logits = found.values @ state["head.weight"].T + state["head.bias"]
    assert logits.argmax(1).equal(found.predicted)


def test_loaded_weights_give_equal_features() -> None:
    restored = LeNet(DIGITS)
    restored.load(trained().weights())
    rows = digits().reference
    assert torch.equal(restored.extract(rows).values, trained().extract(rows).values)
    assert restored.fingerprint == trained().fingerprint
    assert restored.fingerprint["resize"] == "bilinear, antialiased, to 32x32"


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 48), (1, 2, 2)])
def test_every_shape_of_image(shape: tuple[int, int, int]) -> None:
    spec = Spec("image", shape, ("a", "b", "c"))
    lenet = LeNet(spec, steps=2, batch_size=8)
    lenet.fit(RealData(noise(spec, 12), noise(spec, 6, 1)), Unwatched())
    values = lenet.extract(noise(spec, 5, 2)).values
    assert values.shape == (5, 84)
    assert bool(values.isfinite().all())


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="'lenet' need a data set with classes"):
        LeNet(Spec("image", (1, 8, 8)))
    with pytest.raises(UserError, match="steps is 0"):
        LeNet(DIGITS, steps=0)


@pytest.mark.hub
def test_mnist_is_read(cache: str) -> None:
    real = MNIST(cache=cache).load()
    lenet = LeNet(Spec("image", (1, 28, 28), tuple("0123456789")))
    lenet.fit(real, Unwatched())
    print(f"\naccuracy on MNIST's test rows: {lenet.held_out_accuracy}")
    assert (lenet.held_out_accuracy or 0) > 0.98
