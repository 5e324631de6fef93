"""How clearly images belong to one class, seen by an encoder that is the identity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.datasets.digits import Digits
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.probes.merging import Merging
from collapse_lab.types import Prospect, Samples, Spec, Subject
from tests.models.points import fitted, normal

REAL = Digits(reference_fraction=0.3).load().reference


class Identity:
    """An encoder whose posterior means are the pixels."""

    latent = 64

    def posterior_means(self, samples: Samples) -> Tensor:
        return as_float(samples.data).flatten(1)

    def elbos(self, samples: Samples, noise: Tensor) -> Tensor:
        return torch.zeros(len(samples))


MODEL: Any = Identity()


def probed(data: Tensor, **changes: Any) -> dict[str, Any]:
    subject = Subject(MODEL, lambda: MODEL, REAL, Samples(data, np.full(len(data), -1)))
    return dict(Merging(**changes)(subject, np.random.default_rng(0)))


def test_the_shares_of_neighbours_are_those_of_their_classes() -> None:
    places = torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])[:, None].double()
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    shares = Merging(neighbours=3).shares(torch.cdist(torch.tensor([[1.0], [11.0]]).double(), places), labels)
    torch.testing.assert_close(shares, torch.tensor([[1, 0, 0], [0, 2 / 3, 1 / 3]]).double())


def test_information_and_entropy_are_those_of_numpy() -> None:
    data = REAL.data[:60]
    one, other = (as_float(x).flatten(1).double() for x in (data, REAL.data))
    apart = torch.cdist(one, other).numpy()
    near = REAL.labels[np.argsort(apart, axis=1, kind="stable")[:, :10]]
    shares = (near[..., None] == np.arange(10)).mean(1)
    entropies = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    mean = shares.mean(0)
    estimates = probed(data)
    assert estimates["neighbour_entropy"].value == pytest.approx(entropies.mean())
    expected = -(mean * np.log(np.where(mean > 0, mean, 1))).sum() - entropies.mean()
    assert estimates["class_information"].value == pytest.approx(expected)


def test_images_that_look_alike_tell_nothing_about_their_class() -> None:
    alike = probed(REAL.data[:1].expand(50, -1, -1, -1).clone())
    assert alike["class_information"].value == pytest.approx(0, abs=1e-12)
    assert alike["class_information_real"].value > 1.5


def test_images_between_two_digits_have_neighbours_of_more_classes() -> None:
    zeros, ones = (REAL.data[np.flatnonzero(REAL.labels == label)[:40]] for label in (0, 1))
    clear, merged = probed(torch.cat([zeros, ones])), probed(((zeros.int() + ones.int()) // 2).to(torch.uint8))
    assert clear["neighbour_entropy"].hi < merged["neighbour_entropy"].lo
    assert clear["class_information"].lo > merged["class_information"].hi
    assert clear["neighbour_entropy_real"].value == merged["neighbour_entropy_real"].value


def test_real_images_are_compared_with_others_and_not_with_themselves() -> None:
    estimates = probed(REAL.data[:200], images=200, neighbours=1)
    assert estimates["neighbour_entropy"].value == estimates["neighbour_entropy_real"].value == 0
    # Each generated image here is a real one, so its nearest neighbour is itself, and the second one the nearest other
    two = probed(REAL.data[:200], images=200, neighbours=2)
    pixels = as_float(REAL.data).flatten(1).double()
    apart = torch.cdist(pixels, pixels).fill_diagonal_(torch.inf)
    nearest = REAL.labels[apart[:200].argmin(1).numpy()]
    assert two["neighbour_entropy"].value == pytest.approx(math.log(2) * (nearest != REAL.labels[:200]).mean())


@pytest.mark.parametrize(
    ("prospect", "message"),
    [
        (Prospect(Spec("image", (1, 8, 8)), MODEL, 100, 10), "this data set has none; give dataset=mnist"),
        (Prospect(Spec("image", (1, 8, 8), ("a", "b")), MODEL, 10, 10), "neighbours=10; there are 10: lower"),
        (Prospect(Spec("points", (1, 1)), fitted(Gaussian, normal(4, 1)), 10, 10), "Gaussian has none: leave it out"),
    ],
    ids=["no classes", "few rows", "no encoder"],
)
def test_what_it_cannot_look_at_is_refused(prospect: Prospect, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Merging().check_run(prospect)
