from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.datasets.regression import Regression
from collapse_lab.errors import UserError
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.types import Spec
from tests.models.points import draw, fitted

DATA = Regression(replicas=4, rows=30, reference=2, dimension=5, noise=0.25)


def test_the_fit_equals_numpys() -> None:
    rows = DATA.load().train.data
    model = fitted(LinearRegression, rows)
    for r in range(4):
        expected = np.linalg.lstsq(rows[:, r, :-1].numpy(), rows[:, r, -1].numpy(), rcond=None)[0]
        np.testing.assert_allclose(model.coefficients[r], expected, rtol=1e-10)


def test_labels_are_regenerated_for_the_inputs_trained_on() -> None:
    rows = DATA.load().train.data
    model = fitted(LinearRegression, rows, noise=0.25)
    drawn = draw(model, 45)
    assert torch.equal(drawn[:30, :, :-1], rows[..., :-1])
    assert torch.equal(drawn[30:, :, :-1], rows[:15, :, :-1])
    assert not torch.equal(drawn[30:, :, -1], drawn[:15, :, -1])


@pytest.mark.parametrize("inputs", ["same", "fresh"])
def test_a_label_has_the_models_mean_and_the_given_noise(inputs: str) -> None:
    model, n = fitted(LinearRegression, DATA.load().train.data, noise=0.25, inputs=inputs), 20_000
    drawn = draw(model, n)
    rest = (drawn[..., -1] - (drawn[..., :-1] * model.coefficients).sum(-1)).numpy()
    assert (np.abs(rest.mean(0)) < 4 * np.sqrt(0.25 / n)).all()
    assert (np.abs(rest.var(0) - 0.25) < 4 * 0.25 * np.sqrt(2 / n)).all()
    if inputs == "fresh":
        x = drawn[..., :-1].numpy()
        assert (np.abs(x.mean(0)) < 4.5 / np.sqrt(n)).all()
        assert (np.abs(x.var(0) - 1) < 4.5 * np.sqrt(2 / n)).all()


def test_rows_that_do_not_determine_the_coefficients_are_refused() -> None:
    with pytest.raises(UserError, match="dataset=regression"):
        LinearRegression(Spec("points", (1, 1)))
    with pytest.raises(UserError, match="5 rows or more here; got 4"):
        fitted(LinearRegression, DATA.load().train.data[:4])
    with pytest.raises(UserError, match="span fewer than 5 dimensions"):
        fitted(LinearRegression, DATA.load().train.data[:2].repeat(10, 1, 1))
