"""The forward process of a diffusion model, and what its network is trained to predict."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from collapse_lab.errors import UserError, did_you_mean

Objective = Literal["eps", "v", "flow"]
FLOW = "flow_prediction"  # diffusers' name for it, beside `epsilon` and `v_prediction`


class Noising(ABC):
    """Noise over a process of T = `config["num_train_timesteps"]`, t / T from 0 (data) to 1 (noise)."""

    @property
    @abstractmethod
    def config(self) -> Mapping[str, Any]:
        """What a sampler has to know of the training, in the names of diffusers' schedulers."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Times to train at, (n,)."""

    @abstractmethod
    def at(self, fraction: Tensor) -> Tensor:
        """The times at fractions (n,) of the process in [0, 1)."""

    @abstractmethod
    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t, of the shape of x (n, …)."""

    @abstractmethod
    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network is to predict of x_t."""


def noising(objective: str, timesteps: int, schedule: Mapping[str, Any]) -> Noising:
    """The process of an objective: `eps` and `v` over a schedule of betas, `flow` on straight lines.

    schedule: arguments of diffusers' `DDPMScheduler` that say what the betas are, and defaults of samplers; `flow` has
        none.

    Raises:
        UserError: an unknown objective or schedule, timesteps < 1.
    """
    if objective not in get_args(Objective):
        raise UserError(
            f"model.objective is one of {', '.join(get_args(Objective))}; got '{objective}': "
            f"{did_you_mean(objective, get_args(Objective))}"
        )
    if timesteps < 1:
        raise UserError(f"model.timesteps is 1 or more; got {timesteps}")
    if objective == "flow":
        return RectifiedFlow(timesteps)
    prediction = {"eps": "epsilon", "v": "v_prediction"}[objective]
    try:
        return VariancePreserving(
            DDPMScheduler(num_train_timesteps=timesteps, prediction_type=prediction, **dict(schedule))
        )
    except NotImplementedError as error:
        known = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
        given = str(schedule.get("beta_schedule"))
        raise UserError(
            f"model.noise_schedule is one of {', '.join(known)}; got '{given}': {did_you_mean(given, known)}"
        ) from error


@dataclass(frozen=True)
class VariancePreserving(Noising):
    """x_t = sqrt(a_t) x + sqrt(1 - a_t) eps for t = 0 … T - 1 (arXiv:2006.11239, eq. 4); the target is eps, or
    v = sqrt(a_t) eps - sqrt(1 - a_t) x (2202.00512, section 4).
    """

    scheduler: DDPMScheduler

    @property
    def config(self) -> Mapping[str, Any]:
        settings: Mapping[str, Any] = self.scheduler.config
        return settings

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(self.config["num_train_timesteps"], (n,), generator=generator)

    def at(self, fraction: Tensor) -> Tensor:
        return fraction.mul(self.config["num_train_timesteps"]).long()

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        noisy: Tensor = self.scheduler.add_noise(x, noise, t)
        return noisy

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        if self.config["prediction_type"] == "epsilon":
            return noise
        velocity: Tensor = self.scheduler.get_velocity(x, noise, t)
        return velocity


@dataclass(frozen=True)
class RectifiedFlow(Noising):
    """x_t = (1 - t/T) x + (t/T) eps for any t in [0, T]; the target is eps - x (arXiv:2209.03003, eq. 1, whose time
    runs the other way).

    T is no more than the unit in which the network is told the time.
    """

    timesteps: int

    @property
    def config(self) -> Mapping[str, Any]:
        return {"num_train_timesteps": self.timesteps, "prediction_type": FLOW}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, generator=generator).mul(self.timesteps)

    def at(self, fraction: Tensor) -> Tensor:
        return fraction.float().mul(self.timesteps)

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return torch.lerp(x, noise, (t / self.timesteps).view(-1, *[1] * (x.ndim - 1)))

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        del t
        return noise - x


def cosine_betas(timesteps: int, log_snr_start: float, log_snr_end: float) -> list[float]:
    """Betas of a_t = cos^2(phi_t), phi_t evenly spaced between the two ends of log(a_t / (1 - a_t)).

    Since a_t / (1 - a_t) = 1 / tan^2(phi_t), phi = atan(exp(-log_snr / 2)). The default of the Keras example that
    arXiv:2306.06130 builds on is 2.5 to -7.5.

    Raises:
        UserError: an end that is not below the start.
    """
    if not log_snr_start > log_snr_end:
        raise UserError(
            f"the log-SNR falls over the process: model.log_snr_start is above model.log_snr_end; got {log_snr_start} "
            f"and {log_snr_end}"
        )
    first, last = (math.atan(math.exp(-log_snr / 2)) for log_snr in (log_snr_start, log_snr_end))
    signal = torch.linspace(first, last, timesteps, dtype=torch.float64).cos().square()
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    betas: list[float] = (1 - signal / before).tolist()
    return betas
