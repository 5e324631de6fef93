from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity

from collapse_lab.errors import UserError
from collapse_lab.models.kde import KDE
from collapse_lab.types import Spec
from tests.models.points import draw, fitted, normal


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_a_rule_in_one_dimension_is_scipy_s(rule: str) -> None:
    rows, points = normal(60, 3) * 2 + 1, normal(20, 3, seed=4)
    found = fitted(KDE, rows, bandwidth=rule).log_density(points)
    for r in range(3):
        np.testing.assert_allclose(found[:, r], gaussian_kde(rows[:, r, 0], rule).logpdf(points[:, r, 0]), rtol=1e-9)


def test_a_number_is_scikit_learn_s_bandwidth() -> None:
    rows, points = normal(60, 2, 3), normal(20, 2, 3, seed=4)
    found = fitted(KDE, rows, bandwidth=0.3).log_density(points)
    for r in range(2):
        theirs = KernelDensity(bandwidth=0.3).fit(rows[:, r]).score_samples(points[:, r])
        np.testing.assert_allclose(found[:, r], theirs, rtol=1e-9)


def test_samples_have_the_moments_of_the_density() -> None:
    model, n = fitted(KDE, normal(10, 2, 2), bandwidth=0.5), 100_000
    drawn = draw(model, n)
    mean, covariance = model.moments()
    for r in range(2):
        x, sigma = drawn[:, r].numpy(), covariance[r].numpy()
        assert (np.abs(x.mean(0) - mean[r].numpy()) < 4 * np.sqrt(np.diag(sigma) / n)).all()
        product = (x - x.mean(0))[:, :, None] * (x - x.mean(0))[:, None]
        assert (np.abs(product.mean(0) - sigma) < 4 * product.std(0) / np.sqrt(n)).all()


@pytest.mark.parametrize(
    ("bandwidth", "told"), [("scot", "did you mean 'scott'"), (0.0, "above 0; got 0"), (float("inf"), "above 0")]
)
def test_bad_input(bandwidth: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        KDE(Spec("points", (1, 1)), bandwidth=bandwidth)
    with pytest.raises(UserError, match="2 rows or more"):
        fitted(KDE, normal(1, 1))
