from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri, polygamma
from scipy.stats import chi2, norm

from collapse_lab.theory.arguments import Estimator
from collapse_lab.theory.gaussian import expected_std, expected_variance
from collapse_lab.theory.schedules import power_schedule
from collapse_lab.theory.typical import (
    expected_log_variance,
    log_variance_quantile,
    std_of_log_variance,
    variance_quantile,
)
from tests.theory.cases import deviation
from tests.theory.reference_loop import gaussian_chains

G = np.arange(8)
ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sizes", [np.full(8, 100), np.full(8, 3), power_schedule(G, 5, 2.0)], ids=str)
def test_log_variance_and_quantiles_agree_with_a_simulated_chain(sizes: np.ndarray, estimator: Estimator) -> None:
    paths = gaussian_chains(sizes.tolist(), 20_000, estimator, seed=4)
    centre, scale = expected_log_variance(G, sizes, estimator), std_of_log_variance(G, sizes)
    logs = np.log(paths.variance)
    assert deviation(logs, centre) < 4
    assert deviation((logs - centre[:, None]) ** 2, scale**2) < 4
    for probability in (0.05, 0.5, 0.95):
        below = paths.variance < variance_quantile(G, probability, sizes, estimator)[:, None]
        assert deviation(below.astype(float), probability) < 4


@pytest.mark.parametrize("size", [2, 3, 10, 1000])
@pytest.mark.parametrize("probability", [1e-4, 0.05, 0.5, 0.999])
def test_one_fit_agrees_with_scipys_chi_square(size: int, probability: float) -> None:
    quantile = variance_quantile(np.zeros(1, np.int64), probability, size, "ml", variance=4.0)[0]
    assert quantile == pytest.approx(4 * chi2.ppf(probability, size - 1) / size, rel=1e-7)


def test_the_variance_after_many_fits_is_log_normal() -> None:
    late = np.array([20_000])
    for probability in (0.05, 0.5, 0.95):
        quantile = np.log(variance_quantile(late, probability, 100, "unbiased"))[0]
        normal = expected_log_variance(late, 100, "unbiased") + std_of_log_variance(late, 100) * norm.ppf(probability)
        assert quantile == pytest.approx(normal[0], abs=0.02)


def test_quantiles_of_a_product_of_two_exponentials() -> None:
    """χ²_2/2 is exponential, and P(E E' > x) = 2√x K_1(2√x) for two of them."""
    from scipy.special import kv

    for probability in (0.01, 0.5, 0.99):
        x = variance_quantile(np.array([1]), probability, 3, "unbiased")[0]
        assert 1 - 2 * np.sqrt(x) * kv(1, 2 * np.sqrt(x)) == pytest.approx(probability, abs=1e-9)


def cornish_fisher(probability: float, fits: int, size: int) -> float:
    """Return the standardised quantile of a sum of log χ²_{size-1}, of its first five cumulants (Cornish-Fisher)."""
    second, *higher = (fits * float(polygamma(order, (size - 1) / 2)) for order in range(1, 5))
    a, b, c = (cumulant / second ** (order / 2) for order, cumulant in enumerate(higher, start=3))
    z = float(ndtri(probability))
    third = z + (z**2 - 1) * a / 6 + (z**3 - 3 * z) * b / 24 - (2 * z**3 - 5 * z) * a**2 / 36
    fifth = (z**4 - 6 * z**2 + 3) * c / 120 - (z**4 - 5 * z**2 + 2) * a * b / 24
    return float(third + fifth + (12 * z**4 - 53 * z**2 + 17) * a**3 / 324)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("size", "generations"), [(2, 1000), (3, 1000), (10, 4000)])
def test_quantiles_that_float64_cannot_hold_have_right_logarithms(
    size: int, generations: int, probability: float
) -> None:
    late = np.array([generations])
    (quantile,) = log_variance_quantile(late, probability, size, "ml")
    assert variance_quantile(late, probability, size, "ml")[0] == 0
    standard = (quantile - expected_log_variance(late, size, "ml")[0]) / std_of_log_variance(late, size)[0]
    assert standard == pytest.approx(cornish_fisher(probability, generations + 1, size), abs=1e-7)


def test_the_typical_path_decays_though_the_mean_does_not() -> None:
    g, size = np.array([400]), 100
    assert expected_log_variance(g, size, "unbiased")[0] == pytest.approx(-401 / 100, rel=0.02)
    assert expected_log_variance(g, size, "ml")[0] == pytest.approx(-2 * 401 / 100, rel=0.02)
    assert std_of_log_variance(g, size)[0] == pytest.approx(np.sqrt(2 * 401 / 100), rel=0.02)
    median = variance_quantile(g, 0.5, size, "unbiased")[0]
    assert median < 0.05 < expected_variance(g, size, "unbiased")[0]


def test_the_typical_deviation_is_below_its_mean_and_that_below_the_root_of_the_mean_variance() -> None:
    for estimator in ESTIMATORS:
        typical = np.exp(expected_log_variance(G, 20, estimator) / 2)
        std, root = expected_std(G, 20, estimator), np.sqrt(expected_variance(G, 20, estimator))
        assert np.all(typical < std)
        assert np.all(std < root)
