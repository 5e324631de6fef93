from __future__ import annotations

import contextlib
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from torch import Tensor

from collapse_lab.metrics import tiles
from collapse_lab.metrics.clouds import clouds, double_tile, exact
from collapse_lab.metrics.prdc import PRDC, membership, prdc
from tests.metrics.cases import features, modes, neighbours, normal, rng, rotation, squared_distances


def by_package(generated: Tensor, reference: Tensor, k: int) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        values = compute_prdc(reference.numpy(), generated.numpy(), k)
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "d"), [(300, 250, 16), (120, 400, 64), (50, 60, 2)])
def test_prdc_equals_the_package_exactly_without_ties(n: int, m: int, d: int, k: int) -> None:
    generated, reference = normal(n, d, 1) * 0.9, normal(m, d, 2)
    assert prdc(generated, reference, k) == pytest.approx(by_package(generated, reference, k), abs=1e-12)
    in_single = prdc(generated.float(), reference.float(), k)
    assert in_single == pytest.approx(by_package(generated.float().double(), reference.float().double(), k), abs=1e-12)


def test_tiles_do_not_change_the_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(101, 7, 1), normal(75, 7, 2)
    expected = membership(x, y, 5)
    monkeypatch.setattr(tiles, "TILE", 13)
    for untiled, tiled in zip(expected, membership(x, y, 5), strict=True):
        assert torch.equal(untiled, tiled)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_set_against_itself_scores_one(scale: float, offset: float) -> None:
    x = (normal(200, 32, 1) + offset) * scale
    shares = prdc(x, x.clone(), 5)
    assert (shares["precision"], shares["recall"], shares["coverage"]) == (1, 1, 1)
    # Each row lies in k = 5 balls of others on average, and in its own
    assert shares["density"] == pytest.approx(6 / 5)


def test_copies_lie_in_balls_of_radius_zero() -> None:
    point = normal(1, 32, 3) + 10
    x = point.repeat(20, 1)
    assert prdc(x, x.clone(), 5) == {"precision": 1, "recall": 1, "density": 4, "coverage": 1}
    assert by_package(x, x, 5)["precision"] == 0  # because the package compares with <
    away = prdc(x + 1e-3, x, 5)
    assert away == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_rows_exactly_on_a_sphere_count_as_within() -> None:
    line = torch.arange(6, dtype=torch.float64)[:, None]
    members = membership(line + 1, line, 1)  # every radius is 1: each row's neighbours are exactly on the sphere
    assert members.balls.tolist() == [3, 3, 3, 3, 2, 1]
    assert members.recalled.tolist() == [True] * 6
    assert members.covered.tolist() == [True] * 6


def test_a_collapsed_generator_has_high_precision_and_low_recall() -> None:
    reference = modes(500, 16, 1, range(10))
    collapsed, noisy = modes(500, 16, 2, range(2), 0.3), modes(500, 16, 3, range(10), 2.5)
    shares = prdc(collapsed, reference, 5)
    assert shares["precision"] > 0.95
    assert shares["density"] > 1
    assert shares["recall"] < 0.1
    assert shares["coverage"] < 0.3
    turned = prdc(reference, collapsed, 5)
    assert (turned["precision"], turned["recall"]) == (shares["recall"], shares["precision"])
    spread = prdc(noisy, reference, 5)
    assert spread["precision"] < 0.3
    assert spread["recall"] > 0.9


@given(seed=st.integers(0, 10**6), n=st.integers(6, 40), m=st.integers(6, 40), d=st.integers(1, 10))
@settings(max_examples=40, deadline=None)
def test_prdc_is_invariant_to_rotation_and_order(seed: int, n: int, m: int, d: int) -> None:
    x, y = normal(n, d, seed), normal(m, d, seed + 1)
    turn, order = rotation(d, seed), torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    expected = prdc(x, y, 3)
    assert prdc(x @ turn, y @ turn, 3) == pytest.approx(expected)
    assert prdc(x[order], y, 3) == pytest.approx(expected)
    assert all(0 <= expected[name] <= 1 for name in ("precision", "recall", "coverage"))
    assert 0 <= expected["density"] <= m / 3


def test_radii_and_distances_follow_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 11)
    x, y = normal(30, 4, 1), normal(20, 4, 2)
    squares = torch.cdist(x, y) ** 2
    a, b = clouds(x, y)
    torch.testing.assert_close(double_tile(a, b, slice(None)) * a.scale**2, squares)
    error = (squared_distances(a, b).double() - squares / a.scale**2).abs()
    assert bool((error <= (a.doubt[:, None] + b.doubt)).all())
    i, j = torch.tensor([0, 5]), torch.tensor([3, 19])
    torch.testing.assert_close(exact(a, b, i, j) * a.scale**2, squares[i, j])
    own = (torch.cdist(x, x) ** 2).sort(1)
    torch.testing.assert_close(neighbours(x, None, 3)[0], own.values[:, 1:4])
    assert torch.equal(neighbours(x, None, 3)[1], own.indices[:, 1:4])
    across = squares.sort(1)
    torch.testing.assert_close(neighbours(x, y, 4)[0], across.values[:, :4])
    assert torch.equal(neighbours(x, y, 4)[1], across.indices[:, :4])


@pytest.mark.parametrize(("n", "m"), [(200, 150), (7, 9), (6, 100)])
def test_intervals_hold_the_values(n: int, m: int) -> None:
    estimates = PRDC()(features(normal(n, 8, 1)), features(normal(m, 8, 2)), rng())
    assert set(estimates) == {"precision", "recall", "density", "coverage"}
    for name, e in estimates.items():
        assert e.lo is not None
        assert e.hi is not None
        assert 0 <= e.lo <= e.value <= e.hi, name
    plain = PRDC(bootstrap=0)(features(normal(n, 8, 1)), features(normal(m, 8, 2)), rng())
    assert all(plain[name].value == e.value and plain[name].lo is None for name, e in estimates.items())
