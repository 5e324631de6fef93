from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.datasets.regression import Regression
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec
from tests.models.points import draw, fitted, place

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


def shared(n: int = 12, d: int = 3, replicas: int = 4) -> torch.Tensor:
    """Return rows whose inputs are the same in all replicas."""
    rng = np.random.default_rng(0)
    x = np.broadcast_to(rng.standard_normal((n, 1, d)), (n, replicas, d))
    return torch.from_numpy(np.concatenate([x, rng.standard_normal((n, replicas, 1))], -1))


@pytest.mark.parametrize("inputs", ["same", "given"])
@pytest.mark.parametrize("alike", [True, False], ids=["inputs alike", "inputs of each replica"])
def test_rows_count_by_their_weights(inputs: str, alike: bool) -> None:
    rows = shared() if alike else torch.from_numpy(np.random.default_rng(1).standard_normal((12, 4, 4)))
    weights = np.random.default_rng(2).uniform(0.1, 2, 12)
    model: LinearRegression = LinearRegression(Spec("points", (4, 4)), replicas=4, inputs=inputs)  # type: ignore[arg-type]
    model.fit(Samples(rows, np.full(12, -1)), Budget(1, 1), place(), Silent(), weights=weights)
    for r in range(4):
        root = np.sqrt(weights)[:, None]
        expected = np.linalg.lstsq(rows[:, r, :-1] * root, rows[:, r, -1] * root[:, 0], rcond=None)[0]
        np.testing.assert_allclose(model.coefficients[r], expected, rtol=1e-9)
    assert int(model.generation) == 0


@pytest.mark.parametrize("inputs", ["same", "given"])
def test_a_solution_of_least_norm_is_taken_where_it_is_asked_for(inputs: str) -> None:
    rows = shared(n=2)
    model = fitted(LinearRegression, rows, singular="least_norm", inputs=inputs)
    for r in range(4):
        expected = np.linalg.lstsq(rows[:, r, :-1].numpy(), rows[:, r, -1].numpy(), rcond=None)[0]
        np.testing.assert_allclose(model.coefficients[r], expected, rtol=1e-9)
    with pytest.raises(UserError, match=r"inputs span 2 of 3 dimensions; raise n_train, or give model\.singular"):
        fitted(LinearRegression, shared(n=2).repeat(2, 1, 1), inputs="given")


def test_labels_are_made_for_inputs_that_are_given() -> None:
    model, n = fitted(LinearRegression, shared(), inputs="given", noise=0.25), 20_000
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((n, 3)))
    drawn = model.sample(Conditions(np.full(n, 1), Captions(), x), place("sample/a"), Silent())
    assert drawn.labels.tolist() == [1] * n
    assert torch.equal(drawn.data[..., :-1], x[:, None].expand(n, 4, 3))
    rest = (drawn.data[..., -1] - x @ model.coefficients.T).numpy()
    assert (np.abs(rest.mean(0)) < 4 * np.sqrt(0.25 / n)).all()
    assert (np.abs(rest.var(0) - 0.25) < 4 * 0.25 * np.sqrt(2 / n)).all()
    assert np.abs(np.corrcoef(rest.T) - np.eye(4)).max() < 4 / np.sqrt(n)
    with pytest.raises(UserError, match=r"model\.inputs=given makes labels for the inputs of a prompt set"):
        draw(model, 3)
