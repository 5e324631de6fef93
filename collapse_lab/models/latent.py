"""What latent diffusion models share: the U-Net denoises latents of a VAE, and samples are decoded from them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.encoders import LatentCoder
from collapse_lab.nn.gpu_memory import holding_networks
from collapse_lab.nn.noising import Noising
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Denoiser, Sampler, Start, whole_steps
from collapse_lab.seeds import Seeds
from collapse_lab.types import Batch, Budget, Conditions, Rows, Samples, Spec

Precision = Literal["32-true", "bf16-mixed"]


class Latent(GuidedDiffusion):
    """min E ||target - U(a_t z + s_t eps, t, text)||^2, z = f (mean + deviation eps') of a VAE (arXiv:2112.10752).

    Each picture is encoded once in a fit. A family sets `encoders`, `latent_channels` and `factor` in its constructor.

    Args:
        spec: The data set.
        pixels: How the VAE sees pixels and how samples are kept; the range is [-1, 1].
        sampler: The reverse process.
        strength: The share of the process that a sample goes through where conditions give pictures to start from.
        sampling_precision: How the U-Net computes while sampling.
        family: The family's name in the configuration.
        noising: The forward process and the target.
        sampling_batch: How many images are sampled at a time, or `auto`.
        optimisation: The settings of AdamW and of the moving average.

    Attributes:
        encoders: The VAE, which encodes pictures and decodes latents.
        latent_channels: The channels of a latent.
        factor: By how much the VAE shrinks the sides of an image.

    Raises:
        UserError: the range of `pixels` is another one, or `strength` leaves no step.
    """

    sampling_only: ClassVar[frozenset[str]] = GuidedDiffusion.sampling_only | {"sampling_precision", "strength"}
    packs: ClassVar[bool] = False
    starts_from_pictures: ClassVar[bool] = True

    encoders: LatentCoder
    latent_channels: int
    factor: int

    def __init__(
        self,
        spec: Spec,
        *,
        pixels: Pixels,
        sampler: Sampler,
        strength: float,
        sampling_precision: Precision,
        family: str,
        noising: Noising,
        sampling_batch: Batch,
        optimisation: Optimisation,
    ) -> None:
        if tuple(pixels.range) != (-1, 1):
            raise UserError(f"a VAE takes pixels in [-1, 1]; give model.pixels.range=[-1,1], not {list(pixels.range)}")
        if whole_steps(sampler.steps, strength) < 1:
            raise UserError(
                f"model.strength={strength} of model.sampler.steps={sampler.steps} leaves no step: raise one of them"
            )
        super().__init__(
            spec,
            family=family,
            noising=noising,
            sampler=sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
        )
        self.strength, self.sampling_precision = strength, sampling_precision

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of the latents of one image."""
        return (self.latent_channels, *(side // self.factor for side in self.spec.shape[1:]))

    def begin(self, data: Samples[Rows], budget: Budget, seeds: Seeds) -> None:
        """Take the encodings of pictures, or make them, and open the fit's stream of random numbers.

        Raises:
            UserError: the memory of the GPU is too small for the networks, or for a batch that is encoded.
        """
        with holding_networks():
            self.to(budget.device)
        super().begin(data, budget, seeds)
        self.encode_rows()
        self.train()

    def encode_rows(self) -> None:
        """Take the encodings of the pictures that the fit is given, or make them."""
        encoded = self._data.encoded
        self._latents: Rows
        self._latents = self.encoders.encode_rows(self._data.data, str(self.device)) if encoded is None else encoded

    def end(self) -> None:
        """Let go of what `begin` took."""
        super().end()
        del self._latents

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what one step trains on: latents (n, …), states of the prompts, times (n,), and noise, on the CPU."""
        turn = torch.zeros(len(rows), dtype=torch.int64)
        if self.pixels.mirrored:
            turn = (torch.rand(len(rows), generator=self._mirror) < 0.5).long()
        mean, deviation = self._latents[rows][torch.arange(len(rows)), turn].unbind(1)
        z = self.encoders.scale * (mean + deviation * torch.randn(mean.shape, generator=self._noise))
        condition = self.drop(self._condition[rows], self._noise)
        t = self.noising.draw(len(rows), self._noise)
        return z, condition, t, torch.randn(z.shape, generator=self._noise)

    def encoded(self, rows: Tensor) -> Tensor:
        """Return the mean of the latents of images (n, c, h, w), scaled as the U-Net takes them."""
        return self.encoders.scale * self.encoders.latents(rows, self.device)[:, 0]

    def means(self, encoded: Tensor) -> Tensor:
        """Return the mean of the latents of images, scaled as the U-Net takes them, of encodings (n, k, 2, …)."""
        return self.encoders.scale * encoded[:, 0, 0]

    @property
    def encodes_context(self) -> bool:
        """Return whether samples start from the latents of pictures, where conditions give pictures."""
        return self.strength < 1

    def start_of(self, conditions: Conditions, span: slice) -> Start | None:
        """Return the latents of the pictures that the conditions give, None where samples start from noise alone."""
        if conditions.context is None or not self.encodes_context:
            return None
        if conditions.encoded is None:
            return Start(self.encoded(conditions.context[span]), self.strength)
        return Start(self.means(conditions.encoded[span]), self.strength)

    def decoded(self, x: Tensor) -> Tensor:
        """Return the images of latents; black is near -1 and white near 1."""
        return self.encoders.decoded(x)

    def denoiser(self, condition: Tensor) -> Denoiser:
        """Return the map from (z_t, t) to the guided prediction, in the precision of sampling."""
        plain = super().denoiser(condition)
        if self.sampling_precision == "32-true":
            return plain

        def rounded(x: Tensor, t: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                return plain(x, t).float()

        return rounded

    def notes(self) -> tuple[str, ...]:
        """Return sentences on what an exported pipeline does otherwise than the run."""
        said = ["The pipeline has no safety checker, and its scheduler is the one that the run sampled by."]
        low, high = self.guidance_interval
        if self.guidance_scale < 1:
            said.append(
                f"The run sampled with the guidance scale {self.guidance_scale:g}; pipelines of diffusers guide above "
                "1 only, so this one draws what it would draw with 1."
            )
        elif self.guidance_scale > 1 and (low, high) != (0, 1):
            said.append(
                f"The run guided between the noise levels {low:g} and {high:g}; this pipeline guides throughout."
            )
        if self.strength < 1:
            said.append(
                "Where the prompt set of the run gave pictures to start from, the images went through "
                f"{self.strength:g} of the process (image-to-image); this pipeline draws from text alone, and "
                "AutoPipelineForImage2Image of diffusers opens the folder to start from pictures."
            )
        if self.sampling_precision != "32-true":
            said.append("The run sampled with products in bfloat16; the weights are in float32.")
        return tuple(said)


def check_captioned(family: str, spec: Spec) -> None:
    """Refuse a data set without images or without captions.

    Args:
        family: The family's name in the configuration.
        spec: The data set.

    Raises:
        UserError: the samples are no images, or have no captions.
    """
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(
            f"model={family} draws images; this data set holds {spec.modality} of shape {spec.shape}: give a "
            "data set of captioned images, such as dataset=emoji"
        )
    if not spec.vocabulary:
        raise UserError(f"model={family} needs captions and this data set has none; give dataset.templates")
