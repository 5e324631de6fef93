from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import wishart

from collapse_lab.theory import gaussian
from collapse_lab.theory.arguments import Estimator
from collapse_lab.theory.multivariate import (
    eigenvalue_rates,
    expected_log_determinant,
    expected_square_traces,
    rank,
    wasserstein_lower_bound,
    wasserstein_risk_first_order,
)
from collapse_lab.theory.schedules import power_schedule
from tests.theory.cases import deviation

G = np.arange(6)
LAMBDA = np.array([2.0, 1.0, 0.25])
ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")


def chains(
    sizes: np.ndarray, eigenvalues: np.ndarray, replicas: int, estimator: Estimator, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw and refit rows; return means (g, r, d) and covariances (g, r, d, d)."""
    rng = np.random.default_rng(seed)
    d = len(eigenvalues)
    mean, root = np.zeros((replicas, 1, d)), np.broadcast_to(np.diag(np.sqrt(eigenvalues)), (replicas, d, d))
    means, covariances = [], []
    for size in sizes:
        x = mean + rng.standard_normal((replicas, size, d)) @ root
        mean = x.mean(1, keepdims=True)
        centred = x - mean
        covariance = centred.swapaxes(1, 2) @ centred / (size - (estimator == "unbiased"))
        values, vectors = np.linalg.eigh(covariance)
        root = np.sqrt(np.maximum(values, 0))[..., None] * vectors.swapaxes(1, 2)
        means.append(mean[:, 0])
        covariances.append(covariance)
    return np.array(means), np.array(covariances)


def risk(means: np.ndarray, covariances: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """Return the squared Wasserstein distance to N(0, diag(eigenvalues))."""
    root = np.sqrt(eigenvalues)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root[:, None] * covariances * root), 0)).sum(-1)
    distance: np.ndarray = (
        (means**2).sum(-1) + eigenvalues.sum() + np.trace(covariances, axis1=-2, axis2=-1) - 2 * cross
    )
    return distance


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sizes", [np.full(6, 20), power_schedule(G, 6, 1.5)], ids=["constant", "growing"])
def test_moments_agree_with_a_simulated_chain(sizes: np.ndarray, estimator: Estimator) -> None:
    means, covariances = chains(sizes, LAMBDA, 8000, estimator, seed=1)
    squares = np.linalg.norm(covariances, axis=(-2, -1)) ** 2
    traces = np.trace(covariances, axis1=-2, axis2=-1)
    expected = expected_square_traces(G, sizes, estimator, LAMBDA)
    assert deviation(squares, expected.trace_of_square) < 4
    assert deviation(traces**2, expected.square_of_trace) < 4
    assert deviation(traces, gaussian.expected_variance(G, sizes, estimator, LAMBDA.sum())) < 4
    assert deviation((means**2).sum(-1), wasserstein_lower_bound(G, sizes, estimator, LAMBDA)) < 4
    logs = np.linalg.slogdet(covariances)[1]
    assert deviation(logs, expected_log_determinant(G, sizes, estimator, LAMBDA)) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_simulated_risk_lies_above_the_bound_and_near_the_first_order(estimator: Estimator) -> None:
    sizes = np.full(6, 400)
    means, covariances = chains(sizes, LAMBDA, 1500, estimator, seed=2)
    simulated = risk(means, covariances, LAMBDA)
    bound, first = wasserstein_lower_bound(G, sizes, estimator, LAMBDA), wasserstein_risk_first_order(G, sizes, LAMBDA)
    assert np.all(simulated.mean(-1) > bound)
    np.testing.assert_allclose(simulated.mean(-1), first, rtol=0.1)
    assert deviation(simulated, first) < 4


def test_the_risk_that_these_tests_compute_agrees_with_scipy() -> None:
    means, covariances = chains(np.full(2, 10), LAMBDA, 3, "ml", seed=3)
    for m, s, simulated in zip(means[-1], covariances[-1], risk(means, covariances, LAMBDA)[-1], strict=True):
        root = sqrtm(np.diag(LAMBDA))
        cross = np.trace(sqrtm(root @ s @ root)).real
        assert simulated == pytest.approx(m @ m + LAMBDA.sum() + np.trace(s) - 2 * cross, rel=1e-9)


def test_one_dimension_agrees_with_the_scalar_theory() -> None:
    one = np.array([3.0])
    np.testing.assert_allclose(
        wasserstein_risk_first_order(G, 50, one), gaussian.wasserstein_risk_first_order(G, 50, 3.0)
    )
    squares = expected_square_traces(G, 50, "ml", one)
    np.testing.assert_allclose(squares.trace_of_square, squares.square_of_trace)
    variance = squares.trace_of_square - gaussian.expected_variance(G, 50, "ml", 3.0) ** 2
    np.testing.assert_allclose(variance, gaussian.variance_of_variance(G, 50, "ml", 3.0))


def test_the_papers_bound_fails_with_maximum_likelihood() -> None:
    """Counter-example to E W₂² ≥ Tr Σ Σ 1/M_i: in one dimension the exact risk stays below 2σ²."""
    late = np.array([999])
    papers = wasserstein_lower_bound(late, 100, "unbiased", np.ones(1))[0]
    assert papers == pytest.approx(10)
    assert gaussian.wasserstein_risk(late, 100, "ml")[0] < 2 < papers
    assert wasserstein_lower_bound(late, 100, "ml", np.ones(1))[0] < gaussian.wasserstein_risk(late, 100, "ml")[0]


def test_the_rank_follows_the_smallest_training_set() -> None:
    sizes = np.array([6, 4, 9, 3, 9, 9])
    assert rank(G, sizes, 5).tolist() == [5, 3, 3, 2, 2, 2]
    _, covariances = chains(sizes, np.ones(5), 20, "unbiased", seed=4)
    assert np.linalg.matrix_rank(covariances, tol=1e-9).tolist() == [[k] * 20 for k in (5, 3, 3, 2, 2, 2)]
    assert np.isneginf(expected_log_determinant(G, sizes, "ml", np.ones(5))[1:]).all()
    assert np.isfinite(expected_log_determinant(G, sizes, "ml", np.ones(5))[0])


def test_eigenvalues_decay_at_their_lyapunov_exponents() -> None:
    """Over 4,000 generations, in logarithms: A_g = A_{g-1} B with B Bᵀ = W/(M - 1), kept triangular."""
    size, d, generations = 12, 4, 4000
    rng = np.random.default_rng(5)
    total, triangle = np.zeros(d), np.eye(d)
    for w in wishart(size - 1, np.eye(d)).rvs(generations, random_state=rng) / (size - 1):
        q, r = np.linalg.qr(np.linalg.cholesky(w).T @ triangle)
        total, triangle = total + 2 * np.log(np.abs(np.diag(r))), q
    rates = eigenvalue_rates(size, d, "unbiased")
    # One term of the sum has at most the spread of log χ² of M - d degrees of freedom
    np.testing.assert_allclose(total / generations, rates, atol=4 * np.sqrt(2 / (size - d - 1) / generations) * 1.2)
    assert np.all(np.diff(rates) < 0)


def test_rates_sum_to_that_of_the_log_determinant_and_are_about_k_over_m() -> None:
    for estimator in ESTIMATORS:
        once = expected_log_determinant(G, 12, estimator, np.ones(4))
        np.testing.assert_allclose(np.diff(once), eigenvalue_rates(12, 4, estimator).sum())
    large = eigenvalue_rates(10_000, 5, "unbiased")
    np.testing.assert_allclose(large, -np.arange(1, 6) / 10_000, rtol=1e-2)
    assert len(eigenvalue_rates(4, 10, "ml")) == 3


def test_the_effective_dimension_falls_in_every_generation() -> None:
    squares = expected_square_traces(np.arange(200), 30, "unbiased", np.ones(10))
    effective = squares.square_of_trace / squares.trace_of_square
    assert np.all(np.diff(effective) < 0)
    # The fixed ratio of the recursion: b/a where a' = (1 + 1/ν) a + b/ν and b' = b + 2a/ν, that is 1
    assert effective[-1] == pytest.approx(1, abs=1e-3)
