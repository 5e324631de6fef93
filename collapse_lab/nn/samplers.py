"""The reverse process, by any of diffusers' schedulers, with classifier-free guidance."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError, did_you_mean

Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sampler:
    """A diffusers scheduler by its class name, the number of its steps, and its own options.

    scheduler: `DDIMScheduler`, `DPMSolverMultistepScheduler` (DPM-Solver++), or any other that diffusers has.
    """

    scheduler: str = "DDIMScheduler"
    steps: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import diffusers

        known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        if self.scheduler not in known:
            raise UserError(
                f"model.sampler.scheduler '{self.scheduler}' is no diffusers scheduler; "
                f"{did_you_mean(self.scheduler, known)}"
            )
        if self.steps < 1:
            raise UserError(f"model.sampler.steps is 1 or more; got {self.steps}")

    def run(
        self,
        denoise: Denoiser,
        noise: Float[Tensor, "n ..."],
        training: Mapping[str, Any],
        generator: torch.Generator,
        on_step: Callable[[], None],
    ) -> Float[Tensor, "n ..."]:
        """Samples, from noise at the highest level.

        denoise: (x_t, t) to the prediction that `training`, the training scheduler's configuration, names.
        """
        import diffusers

        kind = getattr(diffusers, self.scheduler)
        options = dict(self.options)
        in_log_snr = "lambda_min_clipped" in inspect.signature(kind).parameters
        if in_log_snr and training["beta_schedule"] == "squaredcos_cap_v2":
            # The cosine schedule ends at a log-SNR of minus infinity, and a solver in log-SNR has to begin above it
            options.setdefault("lambda_min_clipped", -5.1)
        scheduler = kind.from_config(dict(training), **options)
        scheduler.set_timesteps(self.steps, device=noise.device)
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        extra = {"generator": generator} if takes_generator else {}
        x: Tensor = noise * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            predicted = denoise(scheduler.scale_model_input(x, t), t)
            x = scheduler.step(predicted, t, x, **extra).prev_sample
            on_step()
        return x


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """eps_uncond + w (eps_cond - eps_uncond): w = 1 is no guidance, w = 0 no condition (arXiv:2207.12598, which
    writes 1 + w for this w).
    """
    return unconditional + scale * (conditional - unconditional)
