from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.noising import Noising, Objective, RectifiedFlow, cosine_betas, noising

COSINE = {"beta_schedule": "squaredcos_cap_v2"}


def draws(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, 6, 1, 4, 4, generator=generator, dtype=torch.float64)
    return x, noise, torch.tensor([0.0, 0.1, 0.35, 0.5, 0.8, 0.999], dtype=torch.float64)


def signal(fraction: Tensor, timesteps: int = 1000) -> Tensor:
    """Return sqrt(a_t) of the linear schedule, computed from its betas."""
    betas = np.linspace(1e-4, 0.02, timesteps)
    a = np.cumprod(1 - betas)[(fraction.numpy() * timesteps).astype(int)]
    return torch.from_numpy(np.sqrt(a)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("objective", ["eps", "v"])
def test_the_variances_of_signal_and_noise_add_up_to_one(objective: Objective) -> None:
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
def test_random_times_cover_the_process(objective: Objective, dtype: torch.dtype) -> None:
    process = noising(objective, 400, COSINE)
    t = process.draw(4000, torch.Generator().manual_seed(0))
    assert t.dtype == dtype
    assert 0 <= float(t.min()) < 4 < 396 < float(t.max()) < 400
    # The mean of 4,000 uniform numbers lies within four standard errors
    assert abs(float(t.double().mean()) - 200) < 4 * 400 / math.sqrt(12 * 4000)
    assert torch.equal(t, process.draw(4000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("ends", [(2.5, -7.5), (6.0, -6.0)])
def test_the_cosine_schedule_has_its_log_snr(ends: tuple[float, float]) -> None:
    process: Noising = noising("eps", 1000, {"trained_betas": cosine_betas(1000, *ends)})
    x, noise = torch.zeros(1000, 1), torch.ones(1000, 1)
    t = torch.arange(1000)
    noise_share = process.add_noise(x, noise, t).double()[:, 0] ** 2
    # By definition the share of noise is sin^2 of an angle that grows evenly between those of the two ends
    first, last = (math.asin(math.sqrt(1 / (1 + math.exp(end)))) for end in ends)
    wanted = torch.sin(first + t.double() / 999 * (last - first)) ** 2
    torch.testing.assert_close(noise_share, wanted, rtol=1e-4, atol=1e-6)
    log_snr = ((1 - noise_share) / noise_share).log()
    assert float(log_snr[0]) == pytest.approx(ends[0], abs=1e-3)
    assert float(log_snr[-1]) == pytest.approx(
        ends[1], abs=0.05
    )  # because a product of 1,000 numbers in float32 is rounded


def test_a_log_snr_that_does_not_fall_is_refused() -> None:
    with pytest.raises(UserError, match=r"log_snr_start is above model\.log_snr_end; got -1 and 2"):
        cosine_betas(10, -1, 2)
