from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import collapse_lab.metrics.fd_infinity as module
from collapse_lab.errors import UserError
from collapse_lab.metrics.fd_infinity import FDInfinity, fd_infinity
from collapse_lab.metrics.fid import frechet_distance
from tests.metrics.cases import features, normal, rng


def gaussians(n: int, d: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Return rows of two Gaussians with commuting covariances, and the distance between the Gaussians."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.linspace(0.5, 2, d, dtype=torch.float64), torch.linspace(1.5, 1, d, dtype=torch.float64)
    x, y = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    return x * a + 0.3, y * b, d * 0.3**2 + float(((a - b) ** 2).sum())


@pytest.mark.parametrize(("n", "d", "share"), [(400, 8, 0.1), (300, 32, 0.15), (120, 48, 0.35)])
def test_extrapolation_leaves_a_fraction_of_the_bias(n: int, d: int, share: float) -> None:
    extrapolated, plain, truth = [], [], 0.0
    for seed in range(60):
        x, y, truth = gaussians(n, d, seed)
        extrapolated.append(fd_infinity(x, y, rng(seed)))
        plain.append(frechet_distance(x, y))
    bias, bias_plain = np.mean(extrapolated) - truth, np.mean(plain) - truth
    noise = np.std(extrapolated, ddof=1) / 60**0.5
    assert bias_plain > 5 * noise
    assert abs(bias) < share * bias_plain + 3 * noise
    if n >= 40 * d:
        assert abs(bias) < 3 * noise


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_the_intercept_of_a_straight_line_is_exact(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def straight(x: Tensor, y: Tensor) -> float:
        sizes.append(len(x))
        return 5 + 3 / len(x) + 7 / len(y)

    monkeypatch.setattr(module, "frechet_distance", straight)
    assert fd_infinity(normal(120, 3, 1), normal(240, 3, 2), rng(), blocks) == pytest.approx(5, rel=1e-12)
    assert sizes == [120 // b for b in range(1, blocks + 1) for _ in range(b)]


def test_two_blocks_give_twice_the_distance_less_the_mean_of_the_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[tuple[Tensor, Tensor]] = []

    def recorded(x: Tensor, y: Tensor) -> float:
        blocks.append((x, y))
        return frechet_distance(x, y)

    monkeypatch.setattr(module, "frechet_distance", recorded)
    x, y = normal(51, 4, 1), normal(40, 4, 2, shift=0.3)
    value = fd_infinity(x, y, rng(), 2)
    for every_row, side in ((x, 0), (y, 1)):  # the halves share no row and leave no row out
        together = torch.cat([blocks[1][side], blocks[2][side]])
        torch.testing.assert_close(together.sort(0).values, every_row.sort(0).values, rtol=0, atol=0)
    halves = (frechet_distance(*blocks[1]) + frechet_distance(*blocks[2])) / 2
    assert value == pytest.approx(2 * frechet_distance(x, y) - halves, rel=1e-12)


def test_equal_distributions_give_values_around_zero() -> None:
    values = np.array([fd_infinity(normal(200, 6, 2 * s), normal(200, 6, 2 * s + 1), rng(s)) for s in range(100)])
    assert 0.3 < np.mean(values < 0) < 0.75
    assert abs(values.mean()) < 3 * values.std() / 10


@pytest.mark.parametrize(("n", "m", "d"), [(64, 64, 128), (64, 539, 64), (6, 6, 3)])
def test_a_tiny_set_gives_finite_numbers(n: int, m: int, d: int) -> None:
    estimate = FDInfinity()(features(normal(n, d, 1).float()), features(normal(m, d, 2).float()), rng())["fd_infinity"]
    assert estimate.lo is not None
    assert estimate.hi is not None
    assert -torch.inf < estimate.lo <= estimate.value <= estimate.hi < torch.inf


def test_too_few_rows_or_blocks_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 blocks of 2 rows or more .* 5 and 50 rows: raise n_samples to 6"):
        fd_infinity(normal(5, 2, 1), normal(50, 2, 2), rng())
    with pytest.raises(UserError, match="blocks = 1"):
        fd_infinity(normal(50, 2, 1), normal(50, 2, 2), rng(), blocks=1)
