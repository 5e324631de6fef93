"""A conditional denoising model under classifier-free guidance, whatever its condition is."""

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
    """Trained with the condition left out of a share `dropout` of the rows; sampled with eps_uncond + w (eps_cond -
    eps_uncond), w = `guidance_scale` between the noise levels `guidance_interval` and 1 outside them (arXiv:2207.12598;
    2404.07724).

    Both predictions come from one batch; where w is 1 there is only one.
    """

    sampling_only: ClassVar[frozenset[str]] = Diffusion.sampling_only | {"guidance_scale", "guidance_interval"}

    def guide(self, dropout: float, scale: float, bounds: Sequence[float]) -> None:
        """Sets what is dropped while training, and how sampling is guided.

        Raises:
            UserError: bounds out of range.
        """
        self.dropout, self.guidance_scale, self.guidance_interval = dropout, scale, interval(bounds)

    @abstractmethod
    def nothing(self, condition: Tensor) -> Tensor:
        """The condition that stands for none, in the shape of the one given."""

    def drop(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        dropped = torch.rand(len(condition), generator=generator) < self.dropout
        return torch.where(dropped.view(-1, *[1] * (condition.ndim - 1)), self.nothing(condition), condition)

    def denoiser(self, condition: Tensor) -> Denoiser:
        if self.guidance_scale == 1:
            return super().denoiser(condition)
        both = self.embed_both(condition.to(self.device))
        return lambda x, t: self.steer(x, t, both, self.guidance_scale)

    def embed_both(self, condition: Tensor) -> Tensor:
        """The condition (n, …) as the network takes it, then as often none, (2n, …)."""
        embedded = self.embed(condition)
        return torch.cat([embedded, self.embed(self.nothing(condition[:1])).expand_as(embedded)])

    def steer(self, x: Tensor, t: Tensor, both: Tensor, scale: float | Tensor) -> Tensor:
        """The guided prediction for x (n, …), of one batch of 2n."""
        low, high = self.guidance_interval
        if not low <= float(t) / self.noising.config["num_train_timesteps"] <= high:
            return self.predict(x, t, both[: len(x)])
        with_condition, without = self.predict(torch.cat([x, x]), t, both).chunk(2)
        return guided(with_condition, without, scale)
