from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.kid import poly_kernel, poly_mmd

from collapse_lab.metrics import tiles
from collapse_lab.metrics.kid import KID, kernel_distance
from tests.metrics.cases import features, modes, normal, rng, rotation


@pytest.mark.parametrize("d", [1, 16, 64])
def test_kernel_distance_agrees_with_torchmetrics(d: int) -> None:
    x, y = normal(300, d, 1), normal(300, d, 2, shift=0.3)
    assert kernel_distance(x, y) == pytest.approx(float(poly_mmd(x, y, 3, None, 1.0)), rel=1e-6)


def test_sets_of_different_sizes_follow_the_definition() -> None:
    x, y = normal(40, 5, 1), normal(70, 5, 2, shift=0.3)
    kxx, kyy, kxy = poly_kernel(x, x), poly_kernel(y, y), poly_kernel(x, y)
    expected = (kxx.sum() - kxx.trace()) / (40 * 39) + (kyy.sum() - kyy.trace()) / (70 * 69) - 2 * kxy.mean()
    assert kernel_distance(x, y) == pytest.approx(float(expected), rel=1e-10)


def test_tiles_do_not_change_the_kernel_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(50, 6, 1), normal(33, 6, 2, shift=0.3)
    expected = kernel_distance(x, y)
    monkeypatch.setattr(tiles, "TILE", 7)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased_for_equal_distributions() -> None:
    values = torch.tensor([kernel_distance(normal(60, 8, 2 * s), normal(60, 8, 2 * s + 1)) for s in range(200)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5
    assert float((values < 0).double().mean()) > 0.3


@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), m=st.integers(2, 30), d=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_kernel_distance_is_symmetric_and_invariant_to_rotation_and_order(seed: int, n: int, m: int, d: int) -> None:
    x, y = normal(n, d, seed), normal(m, d, seed + 1, shift=0.3)
    value, turn = kernel_distance(x, y), rotation(d, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert kernel_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-10)
    assert kernel_distance(x @ turn, y @ turn) == pytest.approx(value, rel=1e-9, abs=1e-10)
    assert kernel_distance(x[order], y) == pytest.approx(value, rel=1e-9, abs=1e-10)


def test_the_interval_excludes_zero_for_a_collapsed_set_alone() -> None:
    every_mode, few_modes = modes(300, 8, 1, range(10)), modes(300, 8, 2, range(2))
    apart = KID()(features(few_modes), features(every_mode), rng())["kid"]
    alike = KID()(features(modes(300, 8, 3, range(10))), features(every_mode), rng())["kid"]
    assert (apart.lo or 0) > 0
    assert (alike.lo or 0) < 0 < (alike.hi or 0)
