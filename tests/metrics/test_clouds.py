from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from collapse_lab.metrics.clouds import clouds, double_tile, exact, pairs_within
from tests.metrics.cases import modes, normal, squared_distances

SHAPES: dict[str, Callable[[int, int, torch.Generator], Tensor]] = {
    "normal": lambda n, d, g: torch.randn(n, d, generator=g),
    "activations": lambda n, d, g: torch.relu(torch.randn(n, 8, generator=g) @ torch.ones(8, d).cumsum(1).sin()),
    "far away": lambda n, d, g: torch.rand(n, d, generator=g) + 100,
    "heavy tails": lambda n, d, g: torch.randn(n, d, generator=g) ** 3,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("d", [1, 3, 64, 1024])
def test_the_error_is_at_most_a_quarter_of_the_doubt(shape: str, d: int) -> None:
    generator = torch.Generator().manual_seed(d)
    a, b = clouds(SHAPES[shape](600, d, generator), SHAPES[shape](500, d, generator))
    error = (squared_distances(a, b).double() - double_tile(a, b, slice(None))).abs()
    assert float((error / (a.doubt[:, None] + b.doubt)).max()) < 0.26


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_follow_the_definition(dtype: torch.dtype) -> None:
    x, y = normal(30, 40, 1).to(dtype), normal(700, 40, 2).to(dtype)
    a, b = clouds(x, y)
    squares = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    torch.testing.assert_close(double_tile(a, b, slice(None)) * a.scale**2, squares, rtol=1e-10, atol=0)
    i, j = torch.tensor([0, 5]), torch.tensor([3, 699])
    torch.testing.assert_close(exact(a, b, i, j) * a.scale**2, squares[i, j], rtol=1e-12, atol=0)
    assert float(exact(a, a, i, i).max()) == 0


@pytest.mark.parametrize("dense", [1, 10**9], ids=["double tile", "pair by pair"])
def test_pairs_in_doubt_are_decided_in_double_precision(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collapse_lab.metrics.clouds.DENSE", dense)
    x, y = modes(80, 16, 1, range(3)), modes(90, 16, 2, range(3))
    a, b = clouds(x, y)
    squares = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") ** 2 / a.scale**2
    # Each row's reach ends just before, or exactly at, one of its distances
    reach = squares[torch.arange(80), torch.arange(80)][:, None]
    for change, included in ((0.0, True), (-1e-9, False)):
        i, j = pairs_within(a, b, slice(None), squared_distances(a, b), reach * (1 + change))
        within = torch.zeros_like(squares, dtype=torch.bool)
        within[i, j] = True
        expected = squares <= reach * (1 + change) + (1e-13 if included else 0)
        assert torch.equal(within, expected)
        assert bool(within.diagonal().all()) is included
