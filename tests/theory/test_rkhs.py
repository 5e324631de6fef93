from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_bvp

from collapse_lab.errors import UserError
from collapse_lab.theory.rkhs import eigenvalues, expected_coefficients, expected_squares
from tests.theory.cases import deviation

REAL = np.array([0.3, -0.2, 0.0, 0.1]) / np.sqrt(2)
RIDGE = 0.004
SIZES = np.array([40, 60, 5, 1, 30, 100, 20, 20])
REPLICAS = 20_000


def basis(x: np.ndarray, k: int) -> np.ndarray:
    waves: np.ndarray = np.sqrt(2) * np.cos(np.pi * k * x)
    return waves


def chains(seed: int) -> np.ndarray:
    """Simulate chains by rejection from the real density and by resampling with Laplace noise; return c, (g, k, r)."""
    rng = np.random.default_rng(seed)
    x = np.empty((REPLICAS, SIZES[0]))
    todo = np.ones(x.shape, bool)
    while todo.any():
        proposed = rng.random(todo.sum())
        density = 1 + sum(c * basis(proposed, k + 1) for k, c in enumerate(REAL))
        accepted = rng.random(len(proposed)) * 2 < density
        places = np.flatnonzero(todo)[accepted]
        x.flat[places] = proposed[accepted]
        todo.flat[places] = False
    shrink = [1 / (1 + RIDGE * (np.pi * k) ** 2) for k in range(1, 5)]
    coefficients = []
    for g, _ in enumerate(SIZES):
        coefficients.append([s * basis(x, k + 1).mean(1) for k, s in enumerate(shrink)])
        if g + 1 < len(SIZES):
            rows = np.take_along_axis(x, rng.integers(0, x.shape[1], (REPLICAS, SIZES[g + 1])), 1)
            moved = np.abs(rows + rng.laplace(0, np.sqrt(RIDGE), rows.shape)) % 2
            x = np.where(moved > 1, 2 - moved, moved)
    return np.array(coefficients)


def test_moments_of_every_direction_agree_with_simulated_chains() -> None:
    simulated, g = chains(seed=1), np.arange(len(SIZES))
    assert deviation(simulated, expected_coefficients(g, RIDGE, REAL)) < 4.5
    assert deviation(simulated**2, expected_squares(g, SIZES, RIDGE, REAL)) < 4.5


@pytest.mark.parametrize("k", [1, 3])
def test_an_eigenvalue_is_what_the_differential_equation_leaves_of_a_direction(k: int) -> None:
    """The embedding f of a density p solves f - ρ f'' = p with f'(0) = f'(1) = 0."""
    x = np.linspace(0, 1, 200)
    solved = solve_bvp(
        lambda t, y: np.array([y[1], (y[0] - basis(t, k)) / RIDGE]),
        lambda left, right: np.array([left[1], right[1]]),
        x,
        np.zeros((2, len(x))),
        tol=1e-9,
        max_nodes=100_000,
    )
    np.testing.assert_allclose(solved.sol(x)[0], eigenvalues(4, RIDGE)[k - 1] * basis(x, k), atol=1e-6)


def test_the_chain_collapses_onto_its_first_direction() -> None:
    equal = np.full(5, 0.2)
    late = expected_coefficients(np.array([0, 100, 1000]), 1e-3, equal)
    assert (late[:, 0] > late[:, 1]).all()
    assert (np.diff(late[:, 1] / late[:, 0]) < 0).all()
    assert late[2, 1] / late[2, 0] == pytest.approx((eigenvalues(2, 1e-3)[1] / eigenvalues(1, 1e-3)[0]) ** 1001)


def test_without_noise_of_sampling_the_square_is_that_of_the_expectation() -> None:
    g = np.arange(6)
    squares = expected_squares(g, 10**12, RIDGE, REAL)
    np.testing.assert_allclose(squares, expected_coefficients(g, RIDGE, REAL) ** 2, atol=1e-11)


def test_arguments_outside_their_ranges_are_refused() -> None:
    with pytest.raises(UserError, match="ridge should be a number above 0"):
        eigenvalues(3, 0.0)
    with pytest.raises(UserError, match="directions should be a number above 0"):
        expected_coefficients(np.arange(2), 0.1, np.zeros(0))
    with pytest.raises(UserError, match="at least 1 rows"):
        expected_squares(np.arange(2), 0, 0.1, REAL)
