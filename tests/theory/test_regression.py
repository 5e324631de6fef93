from __future__ import annotations

import math

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.theory.regression import (
    Design,
    accumulate_error,
    accumulate_limit,
    replace_error,
    single_fit_error,
)
from tests.theory.cases import deviation

G = np.arange(8)
ROWS, D, NOISE = 16, 4, 0.5
SCALES = np.array([3.0, 1.0, 1.0, 0.2])  # of the axes of x: the formulas hold for any covariance
DESIGNS: tuple[Design, ...] = ("same", "fresh")


def chains(accumulate: bool, design: Design, replicas: int, seed: int) -> np.ndarray:
    """Simulate least squares on labels of the fit before; return its test errors (g, r)."""
    rng = np.random.default_rng(seed)
    real = np.array([1.0, -2.0, 0.5, 3.0])
    fit, errors = np.broadcast_to(real[:, None], (replicas, D, 1)), []
    x, y = np.empty((replicas, 0, D)), np.empty((replicas, 0, 1))
    rows = rng.standard_normal((replicas, ROWS, D)) * SCALES
    for _ in G:
        if design == "fresh":
            rows = rng.standard_normal((replicas, ROWS, D)) * SCALES
        labels = rows @ fit + math.sqrt(NOISE) * rng.standard_normal((replicas, ROWS, 1))
        x, y = (np.concatenate([x, rows], 1), np.concatenate([y, labels], 1)) if accumulate else (rows, labels)
        fit = np.linalg.solve(x.swapaxes(1, 2) @ x, x.swapaxes(1, 2) @ y)
        errors.append((((fit[..., 0] - real) * SCALES) ** 2).sum(-1))
    return np.array(errors)


@pytest.mark.parametrize("design", DESIGNS)
def test_closed_forms_agree_with_simulated_chains(design: Design) -> None:
    assert deviation(chains(False, design, 6000, seed=1), replace_error(G, ROWS, D, NOISE)) < 4
    assert deviation(chains(True, design, 6000, seed=2), accumulate_error(G, ROWS, D, design, NOISE)) < 4


@pytest.mark.parametrize("design", DESIGNS)
def test_accumulate_rises_to_its_limit_and_replace_grows_without_limit(design: Design) -> None:
    every = np.arange(100_000)
    errors = accumulate_error(every, ROWS, D, design, NOISE)
    limit = accumulate_limit(ROWS, D, design, NOISE)
    assert np.all(np.diff(errors) > 0)
    assert np.all(errors < limit)
    # The tail of Σ 1/i²; the terms are σ² d/(T i²) to first order when x is fresh
    scale = single_fit_error(ROWS, D, NOISE) if design == "same" else NOISE * D / ROWS
    assert limit - errors[-1] == pytest.approx(scale / len(every), rel=1e-3)
    np.testing.assert_allclose(np.diff(replace_error(every, ROWS, D, NOISE)), single_fit_error(ROWS, D, NOISE))


def test_the_papers_bound_holds_for_fresh_rows_too() -> None:
    for rows in (6, 7, 20, 1000):
        same, fresh = (accumulate_error(np.arange(50), rows, D, design) for design in DESIGNS)
        assert same[0] == pytest.approx(fresh[0], rel=1e-12)
        assert np.all(fresh[1:] < same[1:])
        assert accumulate_limit(rows, D, "fresh") < accumulate_limit(rows, D, "same")
        assert accumulate_limit(rows, D, "same") == pytest.approx(single_fit_error(rows, D) * math.pi**2 / 6)
    # With many rows the two designs agree
    assert accumulate_limit(10**7, D, "fresh") == pytest.approx(accumulate_limit(10**7, D, "same"), rel=1e-5)


@pytest.mark.parametrize("accumulate", [False, True])
def test_a_schedule_of_sizes_agrees_with_errors_chains(accumulate: bool) -> None:
    sizes, rng = np.array([16, 40, 9, 25]), np.random.default_rng(3)
    g, fit, errors = np.arange(4), np.zeros((6000, D, 1)), []
    x, y = np.empty((6000, 0, D)), np.empty((6000, 0, 1))
    for size in sizes:
        rows = rng.standard_normal((6000, size, D)) * SCALES
        labels = rows @ fit + math.sqrt(NOISE) * rng.standard_normal((6000, size, 1))
        x, y = (np.concatenate([x, rows], 1), np.concatenate([y, labels], 1)) if accumulate else (rows, labels)
        fit = np.linalg.solve(x.swapaxes(1, 2) @ x, x.swapaxes(1, 2) @ y)
        errors.append(((fit[..., 0] * SCALES) ** 2).sum(-1))
    expected = accumulate_error(g, sizes, D, "fresh", NOISE) if accumulate else replace_error(g, sizes, D, NOISE)
    assert deviation(np.array(errors), expected) < 4
    with pytest.raises(UserError, match="got a schedule of sizes"):
        accumulate_error(g, sizes, D, "same", NOISE)
