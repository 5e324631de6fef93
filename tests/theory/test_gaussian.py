from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi, chi2

from collapse_lab.theory.arguments import Estimator
from collapse_lab.theory.gaussian import (
    expected_std,
    expected_variance,
    marginal_variance,
    variance_of_mean,
    variance_of_variance,
    wasserstein_risk,
    wasserstein_risk_first_order,
)
from collapse_lab.theory.schedules import power_schedule
from tests.theory.cases import deviation, error
from tests.theory.reference_loop import gaussian_chains

G = np.arange(11)  # eleven fits
SCHEDULES = {"constant": np.full(11, 100), "small": np.full(11, 4), "growing": power_schedule(G, 10, 1.5)}
ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_moments_agree_with_a_simulated_chain(name: str, estimator: Estimator) -> None:
    sizes = SCHEDULES[name]
    paths = gaussian_chains(sizes.tolist(), 20_000, estimator, seed=1)
    assert deviation(paths.variance, expected_variance(G, sizes, estimator)) < 4
    assert deviation(np.sqrt(paths.variance), expected_std(G, sizes, estimator)) < 4
    assert deviation(paths.mean**2, variance_of_mean(G, sizes, estimator)) < 4
    assert deviation(paths.mean, 0.0) < 4
    assert deviation(paths.risk, wasserstein_risk(G, sizes, estimator)) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_spread_of_the_variance_gives_the_standard_error_of_its_mean(estimator: Estimator) -> None:
    paths = gaussian_chains([100] * 11, 40_000, estimator, seed=2)
    squares = (paths.variance - expected_variance(G, 100, estimator)[:, None]) ** 2
    assert deviation(squares, variance_of_variance(G, 100, estimator)) < 4
    predicted = np.sqrt(variance_of_variance(G, 100, estimator) / 40_000)
    np.testing.assert_allclose(error(paths.variance), predicted, rtol=0.05)


def test_one_fit_agrees_with_scipys_chi_and_chi_square() -> None:
    first = np.zeros(1, np.int64)
    for size in (2, 3, 10, 1000):
        mean = chi(size - 1).mean()
        assert expected_std(first, size, "ml")[0] == pytest.approx(mean / np.sqrt(size), rel=1e-12)
        assert expected_std(first, size, "unbiased")[0] == pytest.approx(mean / np.sqrt(size - 1), rel=1e-12)
        assert variance_of_variance(first, size, "ml")[0] == pytest.approx(chi2(size - 1).var() / size**2, rel=1e-12)


def test_the_exact_risk_after_eleven_fits_agrees_with_independent_simulations() -> None:
    """An independent simulation has 0.1640 ± 0.0006 and 0.1594 ± 0.0006: theory is within 1.4 and 0.1 of its errors."""
    unbiased, ml = (wasserstein_risk(G, 100, e)[-1] for e in ESTIMATORS)
    assert unbiased == pytest.approx(0.164790, abs=1e-6)
    assert ml == pytest.approx(0.159397, abs=1e-6)
    assert abs(unbiased - 0.1640) < 2 * 0.0006
    assert abs(ml - 0.1594) < 2 * 0.0006
    assert wasserstein_risk_first_order(G, 100)[-1] == pytest.approx(0.165)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_first_order_is_the_limit_of_large_samples(estimator: Estimator) -> None:
    gaps = []
    for size in (10**3, 10**4, 10**5):
        exact, first = wasserstein_risk(G, size, estimator), wasserstein_risk_first_order(G, size)
        gaps.append(np.abs(exact / first - 1).max())
    # The relative gap is O(1/M)
    assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.02)
    assert gaps[2] == pytest.approx(gaps[0] / 100, rel=0.02)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_first_order_is_not_a_bound(estimator: Estimator) -> None:
    gap = wasserstein_risk(G, 100, estimator) - wasserstein_risk_first_order(G, 100)
    assert gap[0] > 0 > gap[-1]


def test_the_risk_diverges_with_the_unbiased_estimator_only() -> None:
    """Counter-example to Theorem 3.1's "E W₂² goes to infinity" under the paper's own `np.std`."""
    late = np.array([10**5])
    assert wasserstein_risk(late, 100, "unbiased")[0] == pytest.approx((10**5 + 1) / 100 + 2, rel=1e-6)
    assert wasserstein_risk(late, 100, "ml")[0] == pytest.approx(2)
    assert np.all(wasserstein_risk(np.arange(5000), 100, "ml") < 2)


def test_only_the_unbiased_estimator_widens_the_marginal_variance() -> None:
    """It widens it by σ² Σ 1/M_i, without the paper's remainder; maximum likelihood keeps it."""
    sizes = SCHEDULES["growing"]
    np.testing.assert_allclose(marginal_variance(G, sizes, "ml", 3.0), 3.0, rtol=1e-12)
    np.testing.assert_allclose(marginal_variance(G, sizes, "unbiased", 3.0), 3 * (1 + np.cumsum(1 / sizes)))


def test_everything_scales_with_the_real_variance() -> None:
    for quantity in (expected_variance, variance_of_mean, marginal_variance, wasserstein_risk):
        np.testing.assert_allclose(quantity(G, 50, "ml", 4.0), 4 * quantity(G, 50, "ml"), rtol=1e-12)
    np.testing.assert_allclose(expected_std(G, 50, "ml", 4.0), 2 * expected_std(G, 50, "ml"), rtol=1e-12)
    np.testing.assert_allclose(
        variance_of_variance(G, 50, "ml", 4.0), 16 * variance_of_variance(G, 50, "ml"), rtol=1e-12
    )


def test_the_mean_over_replicas_falls_below_its_expectation_after_many_generations() -> None:
    """At g = 20 M nearly every chain is far below E σ_g² = 1, and so is the mean of any feasible number of them."""
    generations, replicas = 400, 2000
    paths = gaussian_chains([20] * generations, replicas, "unbiased", seed=3)
    assert variance_of_variance(np.array([generations - 1]), 20, "unbiased")[0] > 1e12 * replicas
    assert expected_variance(np.array([generations - 1]), 20, "unbiased")[0] == 1
    assert paths.variance[-1].mean() < 0.5
