"""The denoising loss of a diffusion model on real images that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.types import Estimate, Prospect, Resamplings, Samples, Subject, Times


@runtime_checkable
class Denoises(Protocol):
    """Describe a family that is trained by denoising."""

    def denoising_losses(self, samples: Samples, times: Tensor, noise: Tensor) -> Tensor:
        """Return the training objective of each row, (n,), at times (n,) in [0, 1) and noise (n, *shape).

        The shape is that of a row, unless the family has a `noise_shape`, such as that of latents.
        """
        ...


class DenoisingLoss:
    """Measure E ||target - prediction(x_t, t, text)||² over held-out real rows, times and noise.

    The expectation is a bound on -log p(x) up to weights and constants. The interval is over rows.

    Args:
        draws: Times per row, spread evenly over the process.
        bootstrap: Resamplings of the rows behind the interval; below 2 there is no interval.

    Raises:
        UserError: The model is not trained by denoising.

    Source: arXiv:2006.11239, section 3.4.
    """

    version: ClassVar[int] = 1
    encodes: ClassVar[bool] = True  # rows come with what the family's encoder makes of them

    def __init__(self, draws: Times = 8, bootstrap: Resamplings = 200) -> None:
        self.draws, self.bootstrap = draws, bootstrap

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family that is not trained by denoising."""
        _denoiser(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `denoising_loss`, ≥ 0."""
        family, real = _denoiser(subject.model), subject.real
        shape = (len(real), *getattr(family, "noise_shape", real.data.shape[1:]))
        losses = torch.zeros(len(real))
        for draw in range(self.draws):
            times = torch.from_numpy((rng.random(len(real)) + draw) / self.draws)
            noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
            losses += family.denoising_losses(real, times, noise) / self.draws
        return {"denoising_loss": around(float(losses.mean()), [losses], rng, self.bootstrap, low=0.0)}


def _denoiser(model: object) -> Denoises:
    if not isinstance(model, Denoises):
        raise UserError(
            f"probes=[denoising] needs a diffusion model; {type(model).__name__} is not one: leave it out of probes=[…]"
        )
    return model
