from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.models.discrete import Discrete
from collapse_lab.types import Spec
from tests.models.points import draw, fitted


def test_the_fit_is_the_histogram() -> None:
    rows = torch.tensor([[0, 2], [0, 1], [3, 2], [0, 2]]).double()[..., None]
    model = fitted(Discrete, rows, categories=5)
    assert model.probabilities.tolist() == [[0.75, 0, 0, 0.25, 0], [0, 0.25, 0.75, 0, 0]]


def test_samples_are_multinomial() -> None:
    rows = torch.tensor([[0, 2], [0, 1], [3, 2], [0, 2]]).double()[..., None]
    model, n = fitted(Discrete, rows, categories=5), 40_000
    drawn = draw(model, n)
    assert drawn.shape == (n, 2, 1)
    for r in range(2):
        p = model.probabilities[r].numpy()
        shares = np.bincount(drawn[:, r, 0].long().numpy(), minlength=5) / n
        assert (np.abs(shares - p) <= 4 * np.sqrt(p * (1 - p) / n)).all()


@pytest.mark.parametrize("value", [0.5, -1.0, 5.0, float("nan")])
def test_points_that_are_no_categories_are_refused(value: float) -> None:
    with pytest.raises(UserError, match="takes categories 0 to 4; got points"):
        fitted(Discrete, torch.tensor([[0.0], [value]]).double()[..., None], categories=5)


def test_points_of_several_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="points of one number, its category; these have 2"):
        Discrete(Spec("points", (1, 2)))
