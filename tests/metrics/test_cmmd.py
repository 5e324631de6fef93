from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kernel_mmd, kernel_rbf

from collapse_lab.errors import UserError
from collapse_lab.metrics.cmmd import cmmd
from collapse_lab.metrics.directions import directions
from tests.metrics.cases import normal

PAIRS = {"shifted": (normal(150, 12, 1), normal(150, 12, 2, shift=0.3)), "same": (normal(90, 5, 1), normal(90, 5, 2))}


def unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x)


@pytest.mark.parametrize("sigma", [0.5, 10.0])
@pytest.mark.parametrize("pair", PAIRS)
def test_cmmd_agrees_with_torch_fidelity(pair: str, sigma: float) -> None:
    x, y = (unit(rows).numpy() for rows in PAIRS[pair])
    expected = 1000 * kernel_mmd(x, y, kid_kernel="rbf", kid_kernel_rbf_sigma=sigma)
    assert cmmd(*PAIRS[pair], sigma) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("n", "m"), [(80, 120), (40, 40)])
def test_the_biased_estimate_of_the_papers_code_is_cmmd_plus_its_diagonals(n: int, m: int) -> None:
    x, y = normal(n, 6, 1), normal(m, 6, 2, shift=0.2)
    u, v = unit(x).numpy(), unit(y).numpy()
    kxx, kyy, kxy = (kernel_rbf(a, b, kid_kernel_rbf_sigma=10.0) for a, b in ((u, u), (v, v), (u, v)))
    biased = 1000 * (kxx.mean() + kyy.mean() - 2 * kxy.mean())
    apart = [1 - (k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (kxx, kyy)]
    assert biased == pytest.approx(cmmd(x, y) + 1000 * (apart[0] / n + apart[1] / m), rel=1e-7)


def test_with_sigma_10_cmmd_is_ten_times_the_squared_distance_of_the_means() -> None:
    x, y = normal(4000, 8, 1) + 1, normal(4000, 8, 2)
    shift = unit(x).mean(0) - unit(y).mean(0)
    assert cmmd(x, y) == pytest.approx(10 * float(shift @ shift), rel=0.02)


def test_cmmd_of_two_points_has_a_closed_form() -> None:
    x, y = torch.eye(3, dtype=torch.float64)[[0, 0, 0]], torch.eye(3, dtype=torch.float64)[[1, 1]]
    expected = 2000 * (1 - np.exp(-1))
    assert cmmd(x, y, sigma=1.0) == pytest.approx(expected, rel=1e-12)
    assert cmmd(7 * x, 0.1 * y, sigma=1.0) == pytest.approx(expected, rel=1e-12)
    assert cmmd(x.float(), y.float(), sigma=1.0) == pytest.approx(expected, rel=1e-6)


def test_single_precision_changes_cmmd_by_less_than_its_noise() -> None:
    x, y = PAIRS["shifted"]
    assert cmmd(x.float(), y.float()) == pytest.approx(cmmd(x, y), rel=1e-5)


def test_a_row_of_zeros_is_a_direction_of_its_own() -> None:
    x, y = torch.eye(3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)
    one, other = directions(x, y)
    assert (one @ other.T == 0).all()
    assert (other @ other.T == 1).all()
    torch.testing.assert_close(one @ one.T, x)
    assert directions(x)[0].shape == (3, 3)
    assert cmmd(torch.zeros(5, 3), torch.zeros(4, 3)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_kernel_width_that_is_not_positive_and_finite_is_refused(sigma: float) -> None:
    with pytest.raises(UserError, match="sigma is"):
        cmmd(*PAIRS["same"], sigma)
