"""How well a diffusion model still denoises real images that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.types import Estimate, Samples, Subject


@runtime_checkable
class Denoises(Protocol):
    """A family trained by denoising."""

    def denoising_losses(self, samples: Samples, times: Tensor, noise: Tensor) -> Tensor:
        """The objective of each row, (n,)."""
        ...


class DenoisingLoss:
    """E ||target - prediction(x_t, t, text)||^2 over held-out real rows, times and noise; a bound on -log p(x) up to
    weights and constants (arXiv:2006.11239, section 3.4).

    draws: times per row, spread evenly over the process. The interval is over rows.
    """

    version: ClassVar[int] = 1

    def __init__(self, draws: int = 8, bootstrap: int = 200) -> None:
        if draws < 1:
            raise UserError(f"probes.denoising.draws is 1 or more; got {draws}")
        self.draws, self.bootstrap = draws, bootstrap

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        family: object = subject.model
        real = subject.real
        if not isinstance(family, Denoises):
            raise UserError(f"probes=[denoising] needs a diffusion model; {type(family).__name__} is none")
        losses = torch.zeros(len(real))
        for draw in range(self.draws):
            times = torch.from_numpy((rng.random(len(real)) + draw) / self.draws)
            noise = torch.from_numpy(rng.standard_normal(real.data.shape, dtype=np.float32))
            losses += family.denoising_losses(real, times, noise) / self.draws
        return {"denoising_loss": around(float(losses.mean()), [losses], rng, self.bootstrap, low=0.0)}
