"""The forward process of a diffusion model, and what its network is trained to predict."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from collapse_lab.errors import UserError

Objective = Literal["eps", "v", "flow"]
NoiseSchedule = Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]
FLOW = "flow_prediction"  # diffusers' name of the objective `flow`, beside `epsilon` and `v_prediction`


class Noising(ABC):
    """Add noise to data over a process of T = `config["num_train_timesteps"]`, t / T from 0 (data) to 1 (noise)."""

    @property
    @abstractmethod
    def config(self) -> Mapping[str, Any]:
        """Return what a sampler needs to know of the training, in the names of diffusers' schedulers."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n random times to train at, (n,)."""

    @abstractmethod
    def at(self, fraction: Tensor) -> Tensor:
        """Return the times (n,) at fractions (n,) of the process in [0, 1)."""

    @abstractmethod
    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return x_t, of the shape of x (n, …)."""

    @abstractmethod
    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return what the network is trained to predict from x_t, of the shape of x (n, …)."""


def noising(objective: Objective, timesteps: int, schedule: Mapping[str, Any]) -> Noising:
    """Return the process of an objective: `eps` and `v` over a schedule of betas, `flow` on straight lines.

    Args:
        objective: What the network predicts: the noise, the velocity v, or the velocity of a rectified flow.
        timesteps: T, 1 or more.
        schedule: Arguments of diffusers' `DDPMScheduler` that define the betas, and defaults of samplers. `flow`
            ignores them.
    """
    if objective == "flow":
        return RectifiedFlow(timesteps)
    prediction = {"eps": "epsilon", "v": "v_prediction"}[objective]
    scheduler = DDPMScheduler(num_train_timesteps=timesteps, prediction_type=prediction, **dict(schedule))
    return VariancePreserving(scheduler)


@dataclass(frozen=True)
class VariancePreserving(Noising):
    """Add noise as x_t = sqrt(a_t) x + sqrt(1 - a_t) eps for t = 0 … T - 1 (arXiv:2006.11239, eq. 4).

    The target is eps, or v = sqrt(a_t) eps - sqrt(1 - a_t) x (arXiv:2202.00512, section 4).

    Args:
        scheduler: diffusers' scheduler, which holds the betas and `prediction_type`.
    """

    scheduler: DDPMScheduler

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the configuration of the scheduler."""
        settings: Mapping[str, Any] = self.scheduler.config
        return settings

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n random times to train at, (n,) int64."""
        return torch.randint(self.config["num_train_timesteps"], (n,), generator=generator)

    def at(self, fraction: Tensor) -> Tensor:
        """Return the times (n,) int64 at fractions (n,) of the process in [0, 1)."""
        return fraction.mul(self.config["num_train_timesteps"]).long()

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return x_t, of the shape of x (n, …)."""
        noisy: Tensor = self.scheduler.add_noise(x, noise, t)
        return noisy

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return eps or v, of the shape of x (n, …)."""
        if self.config["prediction_type"] == "epsilon":
            return noise
        velocity: Tensor = self.scheduler.get_velocity(x, noise, t)
        return velocity


@dataclass(frozen=True)
class RectifiedFlow(Noising):
    """Add noise as x_t = (1 - t/T) x + (t/T) eps for any t in [0, T].

    The target is eps - x (arXiv:2209.03003, eq. 1, whose time runs in the opposite direction).

    Args:
        timesteps: T. It only sets the unit in which the network receives the time.
    """

    timesteps: int

    @property
    def config(self) -> Mapping[str, Any]:
        """Return T and the name of the objective."""
        return {"num_train_timesteps": self.timesteps, "prediction_type": FLOW}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n random times to train at, (n,) float32 in [0, T)."""
        return torch.rand(n, generator=generator).mul(self.timesteps)

    def at(self, fraction: Tensor) -> Tensor:
        """Return the times (n,) float32 at fractions (n,) of the process in [0, 1)."""
        return fraction.float().mul(self.timesteps)

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return x_t, of the shape of x (n, …)."""
        return torch.lerp(x, noise, (t / self.timesteps).view(-1, *[1] * (x.ndim - 1)))

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return eps - x, of the shape of x (n, …)."""
        del t
        return noise - x


def cosine_betas(timesteps: int, log_snr_start: float, log_snr_end: float) -> list[float]:
    """Return the betas of a_t = cos^2(phi_t), phi_t evenly spaced between two ends of log(a_t / (1 - a_t)).

    Since a_t / (1 - a_t) = 1 / tan^2(phi_t), phi = atan(exp(-log_snr / 2)). The Keras example that arXiv:2306.06130
    builds on goes from 2.5 to -7.5 by default.

    Args:
        timesteps: T, the number of betas.
        log_snr_start: log(a_t / (1 - a_t)) next to the data.
        log_snr_end: log(a_t / (1 - a_t)) next to the noise.

    Raises:
        UserError: `log_snr_end` is not below `log_snr_start`.
    """
    if not log_snr_start > log_snr_end:
        raise UserError(
            "the log-SNR falls over the process, so model.log_snr_start is above model.log_snr_end; got "
            f"{log_snr_start} and {log_snr_end}"
        )
    first, last = (math.atan(math.exp(-log_snr / 2)) for log_snr in (log_snr_start, log_snr_end))
    signal = torch.linspace(first, last, timesteps, dtype=torch.float64).cos().square()
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    betas: list[float] = (1 - signal / before).tolist()
    return betas
