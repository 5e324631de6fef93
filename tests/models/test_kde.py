from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity

from collapse_lab.errors import UserError
from collapse_lab.models.kde import KDE
from tests.models.points import draw, fitted, normal


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_the_density_by_a_rule_equals_scipys_in_one_dimension(rule: str) -> None:
    rows, points = normal(60, 3) * 2 + 1, normal(20, 3, seed=4)
    log_density = fitted(KDE, rows, bandwidth=rule).log_density(points)
    for r in range(3):
        np.testing.assert_allclose(
            log_density[:, r], gaussian_kde(rows[:, r, 0], rule).logpdf(points[:, r, 0]), rtol=1e-9
        )


def test_the_density_of_a_given_bandwidth_equals_scikit_learns() -> None:
    rows, points = normal(60, 2, 3), normal(20, 2, 3, seed=4)
    log_density = fitted(KDE, rows, bandwidth=0.3).log_density(points)
    for r in range(2):
        theirs = KernelDensity(bandwidth=0.3).fit(rows[:, r]).score_samples(points[:, r])
        np.testing.assert_allclose(log_density[:, r], theirs, rtol=1e-9)


def test_samples_have_the_moments_of_the_density() -> None:
    model, n = fitted(KDE, normal(10, 2, 2), bandwidth=0.5), 100_000
    drawn = draw(model, n)
    mean, covariance = model.moments()
    for r in range(2):
        x, sigma = drawn[:, r].numpy(), covariance[r].numpy()
        assert (np.abs(x.mean(0) - mean[r].numpy()) < 4 * np.sqrt(np.diag(sigma) / n)).all()
        product = (x - x.mean(0))[:, :, None] * (x - x.mean(0))[:, None]
        assert (np.abs(product.mean(0) - sigma) < 4 * product.std(0) / np.sqrt(n)).all()


def test_fewer_than_two_rows_are_refused() -> None:
    with pytest.raises(UserError, match="2 rows or more"):
        fitted(KDE, normal(1, 1))
