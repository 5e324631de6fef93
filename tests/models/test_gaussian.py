from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from collapse_lab.errors import UserError
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.models.replicated import normal_noise
from collapse_lab.types import Spec
from tests.models.points import draw, fitted, normal


@pytest.mark.parametrize("estimator", ["ml", "unbiased"])
@pytest.mark.parametrize("d", [1, 3])
def test_the_fit_equals_numpys(estimator: str, d: int) -> None:
    rows = normal(50, 4, d) * torch.tensor([2.0, 0.5, 1.0])[:d] + 7
    full, diagonal = (fitted(Gaussian, rows, estimator=estimator, covariance=kind) for kind in ("full", "diagonal"))
    for r in range(4):
        expected = np.atleast_2d(np.cov(rows[:, r].numpy().T, bias=estimator == "ml"))
        np.testing.assert_allclose(full.mean[r], rows[:, r].mean(0), rtol=1e-13)
        np.testing.assert_allclose(full.covariance[r], expected, rtol=1e-11)
        np.testing.assert_allclose(diagonal.covariance[r], np.diag(np.diag(expected)), rtol=1e-11)


def test_a_small_spread_far_from_zero_keeps_its_digits() -> None:
    rows = normal(100, 3)
    near = fitted(Gaussian, rows).covariance
    far = fitted(Gaussian, rows * 1e-6 + 5).covariance
    torch.testing.assert_close(far * 1e12, near, rtol=1e-7, atol=0)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_samples_have_the_moments_of_the_model(covariance: str) -> None:
    rows = normal(40, 2, 3) @ torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 2.0]]).double() + 3
    model = fitted(Gaussian, rows, covariance=covariance)
    n = 200_000
    drawn = draw(model, n)
    for r in range(2):
        x, sigma = drawn[:, r].numpy(), model.covariance[r].numpy()
        assert (np.abs(x.mean(0) - model.mean[r].numpy()) < 4 * np.sqrt(np.diag(sigma) / n)).all()
        error = np.sqrt((np.outer(np.diag(sigma), np.diag(sigma)) + sigma**2) / n)
        assert (np.abs(np.cov(x.T) - sigma) < 4 * error).all()


def test_noise_is_standard_normal_to_its_fourth_moment() -> None:
    n = 2_000_000
    z = normal_noise((n,), torch.Generator().manual_seed(3)).numpy()
    assert z.dtype == np.float64
    for power, expected, spread in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((z**power).mean() - expected) < 4 * np.sqrt(spread / n)


def test_fewer_rows_than_dimensions_give_a_fit_on_a_subspace() -> None:
    model = fitted(Gaussian, normal(3, 5, 4))
    drawn = draw(model, 50)
    assert drawn.isfinite().all()
    apart = drawn - model.mean
    assert (torch.linalg.matrix_rank(apart.permute(1, 0, 2), rtol=1e-6) == 2).all()
    assert (model.log_density(drawn) == -torch.inf).all()


@pytest.mark.parametrize("estimator", ["ml", "unbiased"])
def test_a_chain_that_has_collapsed_onto_a_point_stays_there(estimator: str) -> None:
    model = fitted(Gaussian, torch.full((5, 2, 1), 3.25).double(), estimator=estimator)
    assert (model.covariance == 0).all()
    assert (draw(model, 7) == 3.25).all()


def test_the_density_equals_scipys() -> None:
    model = fitted(Gaussian, normal(30, 2, 3))
    points = normal(6, 2, 3, seed=5)
    for r in range(2):
        expected = multivariate_normal(model.mean[r], model.covariance[r]).logpdf(points[:, r])
        np.testing.assert_allclose(model.log_density(points)[:, r], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        (Spec("image", (1, 8, 8)), {}, "fitted to points, and this data set holds samples of modality 'image'"),
        (Spec("points", (2, 1)), {"replicas": 3}, "model.replicas=3 and the data set has rows for 2"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(spec: Spec, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Gaussian(spec, **arguments)


def test_one_row_has_no_unbiased_variance() -> None:
    with pytest.raises(UserError, match="2 rows or more here; got 1: raise n_train"):
        fitted(Gaussian, normal(1, 2), estimator="unbiased")
