from __future__ import annotations

import math

import numpy as np
import pytest

from collapse_lab.theory.accumulate import (
    accumulate_moments,
    accumulate_variance_limit,
    subsample_moments,
    subsample_variance_limit,
)
from collapse_lab.theory.arguments import Estimator, GaussianMoments
from collapse_lab.theory.gaussian import expected_variance
from tests.theory.cases import deviation

G = np.arange(10)
ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")
SCHEDULES = {"constant": np.full(10, 3), "uneven": np.array([20, 3, 3, 30, 2, 5, 5, 50, 1, 4])}


def chains(sizes: np.ndarray, subsample: int | None, estimator: Estimator, seed: int) -> GaussianMoments:
    """Simulate chains fitted to all rows so far, or to `subsample` of them: variance and squared error, (g, r)."""
    rng = np.random.default_rng(seed)
    replicas, ddof = 12_000, 1 if estimator == "unbiased" else 0
    pool = rng.standard_normal((replicas, sizes[0]))
    variances, means = [], []
    for g, _ in enumerate(sizes):
        order = rng.permuted(np.broadcast_to(np.arange(pool.shape[1]), pool.shape), axis=1)[:, :subsample]
        x = pool if subsample is None else np.take_along_axis(pool, order, 1)
        mean, variance = x.mean(1), x.var(1, ddof=ddof)
        variances.append(variance)
        means.append(mean**2)
        if g + 1 < len(sizes):
            drawn = mean[:, None] + np.sqrt(variance)[:, None] * rng.standard_normal((replicas, sizes[g + 1]))
            pool = np.concatenate([pool, drawn], 1)
    return GaussianMoments(np.array(variances), np.array(means))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_accumulate_agrees_with_simulated_chains(name: str, estimator: Estimator) -> None:
    sizes = SCHEDULES[name]
    simulated = chains(sizes, None, estimator, seed=1)
    expected = accumulate_moments(G, sizes, estimator)
    assert deviation(simulated.variance, expected.variance) < 4
    assert deviation(simulated.mean_error, expected.mean_error) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("size", "batch"), [(6, 6), (6, 2), (4, 20)])
def test_subsampling_agrees_with_simulated_chains(size: int, batch: int, estimator: Estimator) -> None:
    simulated = chains(np.array([size] + [batch] * 9), size, estimator, seed=2)
    expected = subsample_moments(G, size, batch, estimator)
    assert deviation(simulated.variance, expected.variance) < 4
    assert deviation(simulated.mean_error, expected.mean_error) < 4


@pytest.mark.parametrize("size", [2, 3, 10, 100])
def test_moments_of_many_generations_reach_their_limits(size: int) -> None:
    late = np.array([10**5])
    for estimator in ESTIMATORS:
        limit = accumulate_moments(late, size, estimator, variance=2.0).variance[0]
        assert limit == pytest.approx(accumulate_variance_limit(size, estimator, variance=2.0), rel=1e-5)
    limit = subsample_moments(late, size, size, "ml", variance=2.0).variance[0]
    assert limit == pytest.approx(subsample_variance_limit(size, "ml", variance=2.0), rel=5e-5)
    assert subsample_variance_limit(size, "unbiased") == math.inf


def test_limits_for_large_samples_are_first_order_in_1_over_m() -> None:
    size = 10**5
    assert size * (1 - accumulate_variance_limit(size, "ml")) == pytest.approx(math.pi**2 / 6, rel=1e-4)
    assert size * (1 - subsample_variance_limit(size, "ml")) == pytest.approx(math.pi**2 / 2 - 2, rel=1e-4)


def test_the_variance_of_an_unbiased_subsampler_grows_as_g_to_the_power_1_over_m() -> None:
    """The plug-in variance is n/(n - 1) too large and the pool keeps it: no plateau, but growth as g^{1/M}."""
    late = np.array([10**3, 10**4, 10**5])
    for size in (5, 50):
        variances = subsample_moments(late, size, size, "unbiased").variance
        np.testing.assert_allclose(np.diff(np.log(variances)), math.log(10) / size, rtol=1e-2)


@pytest.mark.parametrize("size", [5, 50])
def test_with_maximum_likelihood_variance_and_squared_error_sum_to_the_real_variance(size: int) -> None:
    """Collapse moves spread from within chains to between chains: E σ_g² + E (μ_g - μ)² stays σ²."""
    for moments in (
        accumulate_moments(G, size, "ml", variance=2.0),
        subsample_moments(G, size, size, "ml", variance=2.0),
        subsample_moments(G, size, 3 * size, "ml", variance=2.0),
    ):
        np.testing.assert_allclose(moments.variance + moments.mean_error, 2.0)


def test_accumulate_keeps_more_variance_than_subsampling_and_subsampling_more_than_replace() -> None:
    g = np.arange(1, 200)
    replace = expected_variance(g, 20, "ml")
    subsample, accumulate = subsample_moments(g, 20, 20, "ml").variance, accumulate_moments(g, 20, "ml").variance
    assert np.all(replace < subsample)
    assert np.all(subsample < accumulate)


def test_generation_0_is_one_fit_to_real_rows() -> None:
    first = np.zeros(1, np.int64)
    for estimator in ESTIMATORS:
        for moments in (accumulate_moments(first, 7, estimator), subsample_moments(first, 7, 3, estimator)):
            assert moments.variance[0] == pytest.approx(expected_variance(first, 7, estimator)[0])
            assert moments.mean_error[0] == pytest.approx(1 / 7)
