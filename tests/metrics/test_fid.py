from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from collapse_lab.metrics.fid import (
    FID,
    distance_and_influence,
    frechet_distance,
    gaussian,
    maps,
    rooted,
)
from collapse_lab.metrics.symmetric import forms
from tests.metrics.cases import features, modes, normal, rng, rotation

PAIRS = {
    "shifted": (normal(600, 64, 1), normal(540, 64, 2, shift=0.2)),
    "same": (normal(600, 32, 1), normal(600, 32, 2)),
    "unlike sizes": (normal(300, 16, 1), normal(2000, 16, 2, decay=1.0)),
    "collapsed": (modes(600, 48, 1, range(2), 0.3), modes(500, 48, 2, range(10))),
}


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), torch.cov(x.T)


@pytest.mark.parametrize("pair", PAIRS)
def test_frechet_distance_agrees_with_torchmetrics(pair: str) -> None:
    x, y = PAIRS[pair]
    assert frechet_distance(x, y) == pytest.approx(float(_compute_fid(*moments(x), *moments(y))), rel=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_frechet_distance_agrees_with_the_formula_of_clean_fid(pair: str) -> None:
    # clean-fid's frechet_distance takes scipy's sqrtm of S1 S2, real part, with an argument (disp) that scipy
    # deprecated and then removed. So we write its formula here, and do not depend on scipy's version.
    x, y = PAIRS[pair]
    (m1, s1), (m2, s2) = moments(x), moments(y)
    root = scipy.linalg.sqrtm(s1.numpy() @ s2.numpy())
    expected = float((m1 - m2) @ (m1 - m2)) + float(s1.trace() + s2.trace()) - 2 * np.trace(root).real
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 64), (20, 200, 64), (200, 20, 64), (64, 64, 64), (2, 2, 8)])
def test_fewer_rows_than_dimensions_follow_the_nuclear_norm(n: int, m: int, d: int) -> None:
    x, y = normal(n, d, 1), normal(m, d, 2, shift=0.1)
    a, b = x - x.mean(0), y - y.mean(0)
    overlap = float(torch.linalg.matrix_norm(a @ b.T, "nuc")) / math.sqrt((n - 1) * (m - 1))
    shift = x.mean(0) - y.mean(0)
    expected = float(shift @ shift + torch.cov(x.T).trace() + torch.cov(y.T).trace()) - 2 * overlap
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 16])
def test_both_computations_agree_at_every_rank(rank: int) -> None:
    basis = rotation(16, 5)[:rank]
    x, y = normal(100, rank, 1, decay=1.0) @ basis, normal(80, 16, 2)
    x, y = x - x.mean(0), y - y.mean(0)
    for first, second in ((x, y), (y, x), (x, x)):
        of_x, of_y = gaussian(first), rooted(gaussian(second))
        trace, there, back = maps(of_x, of_y)
        n, m = len(first) - 1, len(second) - 1
        left, sigma, right = torch.linalg.svd(first @ second.T / (n * m) ** 0.5, full_matrices=False)
        assert float(trace) == pytest.approx(float(sigma.sum()), rel=1e-9)
        pulls = forms(first, of_x.mean, there), forms(second, of_y.mean, back)
        torch.testing.assert_close(pulls[0], n * (left**2 @ sigma), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(pulls[1], m * (sigma @ right**2), rtol=1e-6, atol=1e-6)


def standardised(n: int, d: int, seed: int) -> Tensor:
    """Return rows whose sample mean is 0 and whose sample covariance is the identity, exactly."""
    x = normal(n, d, seed, decay=1.0)
    x = x - x.mean(0)
    factor = torch.linalg.cholesky(torch.cov(x.T))
    white: Tensor = torch.linalg.solve_triangular(factor, x.T, upper=False).T
    return white


def test_commuting_gaussians_have_a_closed_form() -> None:
    a, b = torch.linspace(0.5, 2, 8, dtype=torch.float64), torch.linspace(3, 1, 8, dtype=torch.float64)
    x, y = standardised(50, 8, 1) * a + 1.0, standardised(70, 8, 2) * b - 0.5
    assert frechet_distance(x, y) == pytest.approx(8 * 1.5**2 + float(((a - b) ** 2).sum()), rel=1e-10)


def test_a_constant_set_counts_as_a_point() -> None:
    y = standardised(40, 6, 1)
    assert frechet_distance(torch.full((30, 6), 2.0), y) == pytest.approx(6 * 4 + 6, rel=1e-10)
    assert frechet_distance(torch.full((30, 6), 2.0), torch.full((9, 6), 1.0)) == pytest.approx(6, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(100, 8), (10, 30)])
def test_a_set_has_distance_zero_from_itself(n: int, d: int) -> None:
    x = normal(n, d, 1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), m=st.integers(2, 40), d=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_frechet_distance_is_symmetric_and_invariant_to_rotation_order_and_shift(
    seed: int, n: int, m: int, d: int
) -> None:
    x, y = normal(n, d, seed), normal(m, d, seed + 1, shift=0.3)
    value = frechet_distance(x, y)
    turn, order = rotation(d, seed), torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert value >= 0
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert frechet_distance(x[order], y) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert frechet_distance(x + 3, y + 3) == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_influence_is_the_derivative_by_the_weight_of_a_row() -> None:
    # A row's weight grows by 1 when it enters once more; n copies of every row make that a small step.
    x, y = normal(60, 4, 1), normal(50, 4, 2, shift=0.5)
    copies = 200
    many, target = x.repeat(copies, 1), y.repeat(copies, 1)
    value, influence, _ = distance_and_influence(many, target)
    for row in range(3):
        moved, *_ = distance_and_influence(torch.cat([many, x[row : row + 1]]), target)
        slope = float(influence[row] - influence.mean()) / len(many)
        assert moved - value == pytest.approx(slope, rel=2e-2)


def test_interval_is_reproducible_and_holds_the_value() -> None:
    x, y = features(PAIRS["shifted"][0]), features(PAIRS["shifted"][1])
    first, second = FID()(x, y, rng(3))["fid"], FID()(x, y, rng(3))["fid"]
    assert first == second
    assert first.lo is not None
    assert first.hi is not None
    assert 0 <= first.lo < first.value < first.hi
    assert FID(bootstrap=0)(x, y, rng())["fid"].lo is None
