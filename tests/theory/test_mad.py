from __future__ import annotations

import numpy as np
import pytest

from collapse_lab.theory.arguments import Estimator, GaussianMoments
from collapse_lab.theory.gaussian import expected_variance, variance_of_mean
from collapse_lab.theory.mad import (
    augmented_fixed_point,
    augmented_moments,
    biased_variance,
    fresh_fixed_point,
    fresh_moments,
)
from tests.theory.cases import deviation

G = np.arange(10)
ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")


def chains(
    real: int, synthetic: int, initial: int, bias: float, estimator: Estimator, seed: int, fresh: bool
) -> GaussianMoments:
    """Simulate chains on `real` + `synthetic` rows; return variance and squared error of the mean, (g, r)."""
    rng = np.random.default_rng(seed)
    replicas, ddof = 15_000, 1 if estimator == "unbiased" else 0
    x = first = rng.standard_normal((replicas, initial))
    variances, means = [], []
    for _ in G:
        mean, variance = x.mean(1), x.var(1, ddof=ddof)
        variances.append(variance)
        means.append(mean**2)
        drawn = mean[:, None] + np.sqrt(bias * variance)[:, None] * rng.standard_normal((replicas, synthetic))
        kept = rng.standard_normal((replicas, real)) if fresh else first
        x = np.concatenate([kept, drawn], 1)
    return GaussianMoments(np.array(variances), np.array(means))


CASES = [(5, 20, 12, 1.0), (5, 20, 12, 0.7), (1, 10, 3, 1.0), (20, 5, 8, 1.2), (10, 0, 5, 1.0)]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("real", "synthetic", "initial", "bias"), CASES)
def test_the_fresh_loop_agrees_with_simulated_chains(
    real: int, synthetic: int, initial: int, bias: float, estimator: Estimator
) -> None:
    simulated = chains(real, synthetic, initial, bias, estimator, seed=1, fresh=True)
    expected = fresh_moments(G, real, synthetic, initial, bias, estimator)
    assert deviation(simulated.variance, expected.variance) < 4
    assert deviation(simulated.mean_error, expected.mean_error) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("real", "synthetic", "bias"), [(5, 20, 1.0), (5, 20, 0.7), (10, 3, 1.2)])
def test_the_augmented_loop_agrees_with_simulated_chains(
    real: int, synthetic: int, bias: float, estimator: Estimator
) -> None:
    simulated = chains(real, synthetic, real, bias, estimator, seed=2, fresh=False)
    expected = augmented_moments(G, real, synthetic, bias, estimator)
    assert deviation(simulated.variance, expected.variance) < 4
    assert deviation(simulated.mean_error, expected.mean_error) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_fresh_loop_without_real_rows_is_the_fully_synthetic_loop(estimator: Estimator) -> None:
    simulated = chains(0, 25, 25, 0.8, estimator, seed=3, fresh=True)
    assert deviation(simulated.variance, biased_variance(G, 25, 0.8, estimator)) < 4
    moments = fresh_moments(G, 0, 25, 25, 0.8, estimator, variance=3.0)
    np.testing.assert_allclose(moments.variance, biased_variance(G, 25, 0.8, estimator, variance=3.0))
    unbiased = fresh_moments(G, 0, 25, 25, 1.0, estimator)
    np.testing.assert_allclose(unbiased.variance, expected_variance(G, 25, estimator))
    np.testing.assert_allclose(unbiased.mean_error, variance_of_mean(G, 25, estimator))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("real", "synthetic", "bias"), [(100, 900, 1.0), (100, 900, 0.8), (30, 40, 1.2)])
def test_the_limit_does_not_depend_on_the_first_generation(
    real: int, synthetic: int, bias: float, estimator: Estimator
) -> None:
    late = np.array([5000])
    for initial in (2, 100, 10**6):
        moments = fresh_moments(late, real, synthetic, initial, bias, estimator, variance=2.0)
        fixed = fresh_fixed_point(real, synthetic, bias, estimator, variance=2.0)
        assert moments.variance[0] == pytest.approx(fixed.variance, rel=1e-9)
        assert moments.mean_error[0] == pytest.approx(fixed.mean_error, rel=1e-9)
    moments = augmented_moments(late, real, synthetic, bias, estimator)
    assert moments.variance[0] == pytest.approx(augmented_fixed_point(real, synthetic, bias, estimator).variance)
    assert moments.mean_error[0] == pytest.approx(augmented_fixed_point(real, synthetic, bias, estimator).mean_error)


def test_the_fixed_point_without_sampling_bias_has_a_closed_form() -> None:
    for r, s in [(1, 1), (10, 3), (100, 900), (5, 10**6)]:
        n = r + s
        fixed = fresh_fixed_point(r, s, 1.0, "ml")
        assert fixed.mean_error == pytest.approx(n / (r**2 + 2 * r * s + s))
        assert fixed.variance == pytest.approx(1 - fixed.mean_error)
        assert 1 / (2 * r + 1) < fixed.mean_error < 1 / r


def test_a_bias_below_1_costs_variance_except_where_all_rows_are_real() -> None:
    variances = [fresh_fixed_point(100, 900, bias, "unbiased").variance for bias in (0.5, 0.8, 1.0)]
    # v = r σ²/(n - λ s) but for terms of relative order 1/n
    np.testing.assert_allclose(variances, [100 / 550, 100 / 280, 1.0], rtol=0.02)
    alone = fresh_fixed_point(50, 0, 0.5, "unbiased")
    assert alone.variance == pytest.approx(1)
    assert alone.mean_error == pytest.approx(1 / 50)
