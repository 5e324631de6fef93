from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.noising import Noising, RectifiedFlow, cosine_betas, noising

COSINE = {"beta_schedule": "squaredcos_cap_v2"}


def draws(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, 6, 1, 4, 4, generator=generator, dtype=torch.float64)
    return x, noise, torch.tensor([0.0, 0.1, 0.35, 0.5, 0.8, 0.999], dtype=torch.float64)


def signal(fraction: Tensor, timesteps: int = 1000) -> Tensor:
    """sqrt(a_t) of the linear schedule, from its betas alone."""
    betas = np.linspace(1e-4, 0.02, timesteps)
    a = np.cumprod(1 - betas)[(fraction.numpy() * timesteps).astype(int)]
    return torch.from_numpy(np.sqrt(a)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("objective", ["eps", "v"])
def test_noise_and_data_share_a_variance_of_one(objective: str) -> None:
    process = noising(objective, 1000, {"beta_schedule": "linear"})
    x, noise, fraction = draws()
    t, alpha = process.at(fraction), signal(fraction)
    sigma = (1 - alpha**2).sqrt()
    torch.testing.assert_close(process.add_noise(x, noise, t), alpha * x + sigma * noise, rtol=0, atol=1e-4)
    wanted = noise if objective == "eps" else alpha * noise - sigma * x
    torch.testing.assert_close(process.target(x, noise, t), wanted, rtol=0, atol=1e-4)


@given(st.integers(0, 1000), st.integers(1, 2000))
def test_a_flow_runs_straight_from_data_to_noise(seed: int, timesteps: int) -> None:
    process, (x, noise, fraction) = RectifiedFlow(timesteps), draws(seed)
    ends = torch.tensor([0.0, 1.0]).double() * timesteps
    torch.testing.assert_close(process.add_noise(x[:2], noise[:2], ends), torch.stack([x[0], noise[1]]))
    # The target is the velocity d x_t / d (t / T), and does not depend on t
    t, step = fraction * timesteps / 2, timesteps / 4
    slope = 4 * (process.add_noise(x, noise, t + step) - process.add_noise(x, noise, t))
    torch.testing.assert_close(process.target(x, noise, t), slope)


@pytest.mark.parametrize(("objective", "dtype"), [("eps", torch.int64), ("v", torch.int64), ("flow", torch.float32)])
def test_times_cover_the_process(objective: str, dtype: torch.dtype) -> None:
    process = noising(objective, 400, COSINE)
    t = process.draw(4000, torch.Generator().manual_seed(0))
    assert t.dtype == dtype
    assert 0 <= float(t.min()) < 4 < 396 < float(t.max()) < 400
    # The mean of 4,000 uniform numbers, within four standard errors
    assert abs(float(t.double().mean()) - 200) < 4 * 400 / math.sqrt(12 * 4000)
    assert torch.equal(t, process.draw(4000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("ends", [(2.5, -7.5), (6.0, -6.0)])
def test_the_cosine_schedule_is_that_of_its_log_snr(ends: tuple[float, float]) -> None:
    process: Noising = noising("eps", 1000, {"trained_betas": cosine_betas(1000, *ends)})
    x, noise = torch.zeros(1000, 1), torch.ones(1000, 1)
    t = torch.arange(1000)
    found = process.add_noise(x, noise, t).double()[:, 0] ** 2
    # The definition: the share of noise is sin^2 of an angle that grows evenly between those of the two ends
    first, last = (math.asin(math.sqrt(1 / (1 + math.exp(end)))) for end in ends)
    wanted = torch.sin(first + t.double() / 999 * (last - first)) ** 2
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    log_snr = ((1 - found) / found).log()
    assert float(log_snr[0]) == pytest.approx(ends[0], abs=1e-3)
    assert float(log_snr[-1]) == pytest.approx(ends[1], abs=0.05)  # what float32 leaves of a product of 1,000


def test_wrong_processes_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.objective is one of eps, v, flow; got 'flwo': did you mean 'flow'"):
        noising("flwo", 10, COSINE)
    with pytest.raises(UserError, match=r"model\.noise_schedule is one of linear.*'lineer': did you mean 'linear'"):
        noising("eps", 10, {"beta_schedule": "lineer"})
    with pytest.raises(UserError, match=r"model\.timesteps is 1 or more; got 0"):
        noising("flow", 0, COSINE)
    with pytest.raises(UserError, match=r"log_snr_start is above model\.log_snr_end; got -1 and 2"):
        cosine_betas(10, -1, 2)
