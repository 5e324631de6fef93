"""What denoising models with a condition share: classifier-free guidance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.guidance import guided, interval
from collapse_lab.nn.samplers import Denoiser


class GuidedDiffusion(Diffusion):
    """eps_uncond + w (eps_cond - eps_uncond), w = `guidance_scale` within `guidance_interval` and 1 outside it.

    The network is trained with the condition left out of a share `dropout` of the rows (arXiv:2207.12598; 2404.07724).
    Both predictions come from one batch; where w is 1 there is only the conditional one. A family calls `guide` in its
    constructor.
    """

    sampling_only: ClassVar[frozenset[str]] = Diffusion.sampling_only | {"guidance_scale", "guidance_interval"}

    def guide(self, dropout: float, scale: float, bounds: Sequence[float]) -> None:
        """Set how often the condition is dropped while training, and how sampling is guided.

        Args:
            dropout: The share of rows whose condition is left out, in [0, 1).
            scale: w.
            bounds: The noise levels t / T between which sampling is guided, from data (0) to noise (1).

        Raises:
            UserError: `bounds` is not two numbers with 0 <= low <= high <= 1.
        """
        self.dropout, self.guidance_scale, self.guidance_interval = dropout, scale, interval(bounds)

    @property
    def guiding(self) -> dict[str, float]:
        """Return how sampling is guided, in the names of an exported pipeline."""
        low, high = self.guidance_interval
        return {"guidance_scale": float(self.guidance_scale), "guided_from": float(low), "guided_to": float(high)}

    @abstractmethod
    def nothing(self, condition: Tensor) -> Tensor:
        """Return the condition that stands for "no condition", in the shape of `condition`."""

    def drop(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Return the condition (n, …), with that of a random share of the rows left out."""
        dropped = torch.rand(len(condition), generator=generator) < self.dropout
        return torch.where(dropped.view(-1, *[1] * (condition.ndim - 1)), self.nothing(condition), condition)

    def denoiser(self, condition: Tensor) -> Denoiser:
        """Return the map from (x_t, t) to the guided prediction."""
        if self.guidance_scale == 1:
            return super().denoiser(condition)
        both = self.embed_both(condition.to(self.device))
        return lambda x, t: self.steer(x, t, both, self.guidance_scale)

    def embed_both(self, condition: Tensor) -> Tensor:
        """Return the embedded condition (n, …) followed by n times "no condition", (2n, …)."""
        embedded = self.embed(condition)
        return torch.cat([embedded, self.embed(self.nothing(condition[:1])).expand_as(embedded)])

    def steer(self, x: Tensor, t: Tensor, both: Tensor, scale: float | Tensor) -> Tensor:
        """Return the guided prediction for x (n, …), from one batch of 2n.

        Args:
            x: x_t of n images.
            t: The time, one number.
            both: What `embed_both` returned.
            scale: w.
        """
        if not self._guides(t):
            return self.predict(x, t, both[: len(x)])
        with_condition, without = self.predict(torch.cat([x, x]), t, both).chunk(2)
        return guided(with_condition, without, scale)

    def _guides(self, t: Tensor) -> bool:
        low, high = self.guidance_interval
        if low == 0 and high == 1:  # because reading a time waits for the GPU
            return True
        length: int = self.noising.config["num_train_timesteps"]
        return low <= float(t) / length <= high
