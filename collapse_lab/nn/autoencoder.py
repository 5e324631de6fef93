"""The autoencoder of a latent diffusion model that is trained from scratch: its sizes, its loss, and its latents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.encoders import LatentCoder
from collapse_lab.types import Count, Layers, NonNegative, Positive, ProperShare, Spec, Width


@dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """Hold the sizes of diffusers' `AutoencoderKL`, and how it is trained.

    Args:
        channels: The width of each resolution; every resolution but the first halves the image.
        latent_channels: The channels of a latent.
        layers_per_block: The number of residual layers of each resolution of the encoder; the decoder has one more.
        norm_groups: The groups of the group normalisation.
        share: The share of the steps of a cold fit that train the autoencoder, before all others; in [0, 1).
        batch_size: The rows of a step that the autoencoder is trained on, if a step has as many. Each part of a step
            (trainer.accumulate) gives an equal number of them, rounded up.
        lr: The learning rate after the warm-up, which takes the course of `optimisation` over these steps alone.
        kl_weight: The weight of the KL term against the error of a pixel.

    Raises:
        UserError: there is no resolution, or `norm_groups` does not divide the channels.
    """

    version: ClassVar[int] = 1

    channels: Sequence[Width] = (16, 32, 64)
    latent_channels: Width = 4
    layers_per_block: Layers = 1
    norm_groups: Count = 8
    share: ProperShare = 0.35
    batch_size: Count = 16
    lr: Positive = 2e-3
    kl_weight: NonNegative = 1e-3

    def __post_init__(self) -> None:
        if not self.channels:
            raise UserError("model.autoencoder.channels has one width for each resolution; give one or more")
        for width in self.channels:
            if width % self.norm_groups:
                raise UserError(
                    f"model.autoencoder.norm_groups {self.norm_groups} does not divide model.autoencoder.channels' "
                    f"{width}; give a divisor"
                )

    @property
    def factor(self) -> int:
        """Return by how much the sides of an image are shrunk."""
        return int(2 ** (len(self.channels) - 1))

    def steps(self, steps: int) -> int:
        """Return how many of the steps of a cold fit train the autoencoder; one at least is left for the others."""
        return min(round(self.share * steps), max(0, steps - 1))

    def rows_of_part(self, parts: int) -> int:
        """Return how many rows of each part of a step train the autoencoder; all parts count the same in a gradient.

        Args:
            parts: How many parts a step has, 1 or more.
        """
        return math.ceil(self.batch_size / parts)

    def built(self, spec: Spec) -> AutoencoderKL:
        """Return the network with random weights.

        Args:
            spec: The data set, of images.
        """
        blocks = len(self.channels)
        return AutoencoderKL(
            in_channels=spec.shape[0],
            out_channels=spec.shape[0],
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            block_out_channels=tuple(self.channels),
            layers_per_block=self.layers_per_block,
            latent_channels=self.latent_channels,
            norm_num_groups=self.norm_groups,
            sample_size=spec.shape[1],
        )

    def loss(self, vae: AutoencoderKL, x: Float[Tensor, "n c h w"], noise: torch.Generator) -> Tensor:
        """Return E |x - D(z)| + kl_weight KL(q(z|x) || N(0, I)), z = mean + deviation eps.

        The first term is the mean over pixels, the second the mean over the numbers of a latent.

        Args:
            vae: The network.
            x: Pictures in [-1, 1].
            noise: The generator of eps, on the CPU.
        """
        law = vae.encode(x).latent_dist
        eps = torch.randn(law.mean.shape, generator=noise).to(x.device)
        error = (vae.decode(law.mean + law.std * eps).sample - x).abs().mean()
        divergence = (law.mean.square() + law.var - 1 - law.logvar).mean() / 2
        loss: Tensor = error + self.kl_weight * divergence
        return loss


class OwnLatents(LatentCoder):
    """Encode and decode by the autoencoder that a model holds.

    Args:
        vae: The network.
        scale: Returns the number that latents are multiplied by.
        batch: How many pictures pass through the network at a time.
        mirrored: Whether each picture that is trained on is encoded mirrored too.
    """

    def __init__(self, vae: AutoencoderKL, scale: Callable[[], float], batch: int, mirrored: bool = False) -> None:
        super().__init__(batch, mirrored)
        self._network, self._scale_of = vae, scale

    @property
    def scale(self) -> float:
        """Return the number that latents are multiplied by before noise is added."""
        return self._scale_of()

    @property
    def _vae(self) -> Any:
        return self._network


def scale_of(latents: Float[Tensor, "n 2 c h w"]) -> float:
    """Return 1 / std of z = mean + deviation eps over all numbers of all latents (arXiv:2112.10752, appendix G).

    Var z = Var(mean) + E[deviation^2].

    Args:
        latents: Means and deviations.
    """
    mean, deviation = latents.double().unbind(1)
    variance = mean.var(correction=0) + deviation.square().mean()
    return float(variance.rsqrt().float())
