from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest

from collapse_lab.datasets.waves import Waves
from collapse_lab.errors import UserError
from collapse_lab.models.rkhs import RKHS
from collapse_lab.types import Spec
from tests.models.points import draw, fitted

ROWS = torch.rand(12, 3, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def density(model: RKHS, x: float, r: int) -> float:
    points = torch.full((1, model.replicas, 1), x, dtype=torch.float64)
    return math.exp(float(model.log_density(points)[0, r]))


@pytest.mark.parametrize("ridge", [1e-3, 0.05, 3.0])
def test_the_density_is_the_series_of_its_eigenfunctions(ridge: float) -> None:
    model = fitted(RKHS, ROWS, ridge=ridge)
    k = np.arange(1, 20_000)
    for x in (0.0, 0.31, 1.0):
        for r in range(3):
            waves = np.cos(np.pi * k * x) * np.cos(np.pi * k * ROWS[:, r, 0].numpy()[:, None])
            series = 1 + (2 * waves / (1 + ridge * (np.pi * k) ** 2)).sum(1).mean()
            assert density(model, x, r) == pytest.approx(series, abs=1e-4 / ridge / 10)


def test_the_density_has_the_integral_1_and_the_coefficients_of_the_model() -> None:
    model = fitted(RKHS, ROWS, ridge=0.01)
    coefficients = model.coefficients(3)
    for r in range(3):
        breaks = sorted(ROWS[:, r, 0].tolist())
        total = quad(lambda x, r=r: density(model, x, r), 0, 1, points=breaks, limit=200)[0]
        assert total == pytest.approx(1, abs=1e-9)
        for k in (1, 2, 3):
            inner = quad(
                lambda x, r=r, k=k: density(model, x, r) * math.sqrt(2) * math.cos(math.pi * k * x),
                *(0, 1),
                points=breaks,
                limit=200,
            )[0]
            assert float(coefficients[r, k - 1]) == pytest.approx(inner, abs=1e-9)


def test_a_small_ridge_keeps_a_finite_density() -> None:
    model = fitted(RKHS, ROWS, ridge=1e-8)
    assert torch.isfinite(model.log_density(torch.linspace(0, 1, 11).double()[:, None, None].expand(11, 3, 1))).all()
    assert model.log_density(torch.full((1, 3, 1), 1.1).double()).eq(-torch.inf).all()


@pytest.mark.parametrize("ridge", [1e-3, 0.3])
def test_samples_follow_the_density(ridge: float) -> None:
    model = fitted(RKHS, ROWS, ridge=ridge)
    drawn = draw(model, 3000)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    grid = np.linspace(0, 1, 20_001)
    points = torch.from_numpy(grid)[:, None, None].expand(-1, 3, 1)
    for r in range(3):
        values = model.log_density(points)[:, r].exp().numpy()
        below = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2) / 20_000])
        assert kstest(drawn[:, r, 0].numpy(), lambda x, below=below: np.interp(x, grid, below)).pvalue > 0.001


@pytest.mark.parametrize("value", [-0.1, 1.2, float("nan")])
def test_points_outside_of_the_interval_are_refused(value: float) -> None:
    with pytest.raises(UserError, match=r"takes points of \[0, 1\]; got points .* give dataset=waves"):
        fitted(RKHS, torch.tensor([0.5, value]).double()[:, None, None])


def test_points_of_several_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="these have 2: give dataset=waves"):
        RKHS(Spec("points", (1, 2)))


def test_a_fit_to_many_rows_tends_to_the_smoothed_real_density() -> None:
    data, n = Waves(replicas=2, rows=40_000, amplitudes=[0.5, -0.3]), 40_000
    coefficients = fitted(RKHS, data.load().train.data, ridge=0.01).coefficients(2)
    expected = data.coefficients / (1 + 0.01 * (math.pi * torch.arange(1, 3)) ** 2)
    assert (coefficients - expected).abs().max() < 4.5 * math.sqrt(1.5 / n)
