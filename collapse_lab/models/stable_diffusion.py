"""Stable Diffusion, retrained: the U-Net of a pretrained pipeline, on latents of its VAE and states of its texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import LabelledRows
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.encoders import Encoders
from collapse_lab.nn.exporting import export_latent
from collapse_lab.nn.lora import adapted, merged
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pipeline import PipelineFolder
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.pretrained import find_pipeline, need_of
from collapse_lab.nn.samplers import Denoiser, Sampler, Start, whole_steps
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    Budget,
    Conditions,
    Count,
    Encoder,
    Exported,
    Need,
    Positive,
    ProperShare,
    Rows,
    Samples,
    Share,
    Spec,
    States,
    Width,
)


class StableDiffusion(GuidedDiffusion):
    """min E ||target - U(a_t z + s_t eps, t, text)||^2, z = f (mean + deviation eps') of the VAE (arXiv:2112.10752).

    The target is eps or the velocity, as the pipeline's own scheduler says. The U-Net alone is trained, as in
    arXiv:2311.12202, or adapters of a low rank inside it (`lora_rank`). The VAE and the text encoders stay as they are
    in every generation, and a stored fit holds nothing but what is trained. A fit starts from the pretrained U-Net, or
    from that of an earlier generation. In a run, pictures and prompts are encoded once, as stages of the store that all
    ratios and seeds share (`frozen_encoder`); a fit outside of a run encodes them itself.

    Args:
        spec: The data set, of images with captions.
        pretrained: A folder that `save_pretrained` of diffusers wrote, of Stable Diffusion 1.x, 2.x or SDXL, with
            safetensors; or "owner/name" on the hub. The contents of the folder are part of the identity of a fit, and
            its path is not.
        revision: The commit of a name on the hub, which needs one.
        download: Whether files that are not in the cache are fetched from the hub.
        prompt_dropout: The share of rows that are trained on with the empty prompt, in [0, 1).
        optimisation: The settings of AdamW and of the moving average of the weights.
        lora_rank: The rank of the adapters that are trained while the U-Net stays as it is; None trains the U-Net.
        lora_alpha: The adapters are multiplied by lora_alpha / lora_rank; None means by 1.
        lora_targets: The layers with adapters, by the ends of their names.
        gradient_checkpointing: Whether activations are computed twice and not kept, which takes less memory and more
            time.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        guidance_interval: The part of the process that is guided, [low, high] from data (0) to noise (1).
        strength: The share of the process that a sample goes through where the prompt set gives pictures to start from
            (prompts=pictures), above 0 and at most 1. 1 starts from noise alone, so that it is text-to-image.
        sampler: The reverse process; None means `Sampler()`.
        own_scheduler: Whether the pipeline's own scheduler takes the place of `sampler.scheduler`. The steps are those
            of `sampler`; its options have to be arguments of that scheduler.
        sampling_precision: How the U-Net computes while sampling: in float32, or with products in bfloat16.
        pixels: Whether rows are mirrored, and how samples are kept. The range is [-1, 1].
        sampling_batch: How many images are sampled at a time.
        encoding_batch: How many pictures or prompts are encoded, or latents decoded, at a time.
        cache: The folder whose subfolder `hub` holds files from the hub (paths.data).

    Raises:
        UserError: the data set has no captions, or images of other channels or sides than the VAE takes; a prompt is
            longer than the tokenizer takes; `pretrained` or the adapters are refused; the sampler does not fit;
            `strength` leaves no step; `guidance_interval` or `pixels.range` is wrong; `optimisation` has no moving
            average.
    """

    version: ClassVar[int] = 2
    sampling_only: ClassVar[frozenset[str]] = GuidedDiffusion.sampling_only | {
        "own_scheduler",
        "sampling_precision",
        "strength",
    }
    unsigned: ClassVar[frozenset[str]] = frozenset({"download", "gradient_checkpointing", "encoding_batch", "cache"})
    packs: ClassVar[bool] = False
    starts_from_pictures: ClassVar[bool] = True

    def __init__(
        self,
        spec: Spec,
        *,
        pretrained: str | None = None,
        revision: str | None = None,
        download: bool = False,
        prompt_dropout: ProperShare = 0.1,
        optimisation: Optimisation = Optimisation(
            lr=1e-5, lr_schedule="constant", weight_decay=0.01, warmup=0.0, ema_decay=0.9999, betas=(0.9, 0.999)
        ),
        lora_rank: Width | None = None,
        lora_alpha: Positive | None = None,
        lora_targets: Sequence[str] = ("to_q", "to_k", "to_v", "to_out.0"),
        gradient_checkpointing: bool = False,
        guidance_scale: float = 7.5,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        strength: Share = 1.0,
        sampler: Sampler | None = None,
        own_scheduler: bool = False,
        sampling_precision: Literal["32-true", "bf16-mixed"] = "32-true",
        pixels: Pixels = Pixels(),
        sampling_batch: Count = 8,
        encoding_batch: Count = 8,
        cache: str = "~/.cache/collapse_lab",
    ) -> None:
        folder = find_pipeline(pretrained, revision, download, cache)
        _check_data(spec, folder)
        if tuple(pixels.range) != (-1, 1):
            raise UserError(f"a VAE takes pixels in [-1, 1]; give model.pixels.range=[-1,1], not {list(pixels.range)}")
        sampler = sampler or Sampler()
        if whole_steps(sampler.steps, strength) < 1:
            raise UserError(
                f"model.strength={strength} of model.sampler.steps={sampler.steps} leaves no step: raise one of them"
            )
        super().__init__(
            spec,
            family="stable_diffusion",
            noising=folder.noising(),
            sampler=replace(sampler, scheduler=folder.scheduler) if own_scheduler else sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
        )
        # No part of this module: what it registers is trained, averaged and stored
        self.encoders = Encoders(folder, encoding_batch, pixels.mirrored)
        self._source = folder
        self.encoders.check(spec.vocabulary)
        self.sampling_precision, self._latent_channels = sampling_precision, folder.vae_settings["latent_channels"]
        self._factor, self.strength = folder.factor, strength
        self._pooled = folder.second_settings["projection_dim"] if folder.two_texts else None
        self.guide(prompt_dropout, guidance_scale, guidance_interval)
        unet = folder.network("unet")
        if lora_rank is None:
            self.unet = unet
        else:
            self.adapters = adapted(unet, lora_rank, lora_alpha or lora_rank, lora_targets)
            vars(self)["unet"] = unet  # past Module's own way, because the adapters alone are trained and stored
        if gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StableDiffusion:
        """Move a U-Net that is no part of this module, beside which adapters are trained, together with them."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if "unet" in vars(self):
            self.unet._apply(fn, recurse)
        return self

    @staticmethod
    def prefetch(arguments: Mapping[str, Any]) -> list[Need]:
        """Return the pipeline."""
        return [need_of(arguments["pretrained"], arguments["revision"], arguments["cache"])]

    @staticmethod
    def checksum(pretrained: Path) -> str:
        """Return the SHA-256 over the files of a pipeline that are read, for the identity of a fit."""
        return PipelineFolder(pretrained).checksum

    @property
    def frozen_encoder(self) -> Encoder | None:
        """Return what encodes pictures and prompts for all fits."""
        return self.encoders

    @property
    def encodes_context(self) -> bool:
        """Return whether samples start from the latents of pictures, where conditions give pictures."""
        return self.strength < 1

    def take_states(self, states: States) -> None:
        """Take the states of prompts from a function, so that the text encoder is not read."""
        self.encoders.known = states

    def check_prompts(self, texts: Sequence[str]) -> None:
        """Refuse prompts that are longer than the tokenizer takes."""
        self.encoders.check(texts)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of the latents of one image."""
        return (self._latent_channels, *(side // self._factor for side in self.spec.shape[1:]))

    def begin(self, data: Samples[Rows], budget: Budget, seeds: Seeds) -> None:
        """Take the encodings of pictures, or make them, and open the fit's stream of random numbers."""
        self.to(budget.device)
        super().begin(data, budget, seeds)
        self._latents: Rows
        if data.encoded is None:
            self._latents = self.encoders.encode_rows(data.data, budget.device)
        else:
            self._latents = data.encoded
        self.encoders.release()
        self.train()

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

    def condition(self, rows: LabelledRows) -> Rows:
        """Return the text encoder's states (n, length, width) of the captions."""
        captions = rows.captions
        return self.encoders.states(captions.table, torch.from_numpy(np.ascontiguousarray(captions.index)), self.device)

    def nothing(self, condition: Tensor) -> Tensor:
        """Return the states of the empty prompt, in the shape of `condition`."""
        return self.encoders.empty(self.device).to(condition.device).expand_as(condition)

    def embed(self, condition: Tensor) -> Tensor:
        """Return the states as they are, because the text encoder has run already."""
        return condition

    def denoiser(self, condition: Tensor) -> Denoiser:
        """Return the map from (z_t, t) to the guided prediction, in the precision of sampling."""
        plain = super().denoiser(condition)
        if self.sampling_precision == "32-true":
            return plain

        def rounded(x: Tensor, t: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                return plain(x, t).float()

        return rounded

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the U-Net's prediction, of the shape of x.

        That of SDXL takes the embedding of the whole prompt too, and the sizes of an image that is neither enlarged nor
        cropped.
        """
        if self._pooled is None:
            predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
            return predicted
        sizes = torch.tensor([*self.spec.shape[1:], 0, 0, *self.spec.shape[1:]], dtype=x.dtype, device=x.device)
        added = {"text_embeds": embedded[:, -1, : self._pooled], "time_ids": sizes.expand(len(x), -1)}
        guided: Tensor = self.unet(x, t, embedded[:, :-1], added_cond_kwargs=added, return_dict=False)[0]
        return guided

    def export(self, folder: Path) -> Exported:
        """Write the whole pipeline in diffusers' format, adapters merged into the U-Net."""
        weights = merged(self.unet) if "unet" in vars(self) else self.unet.state_dict()
        made = export_latent(folder, self.spec, self._source, weights, self.sampler, self.guidance_scale)
        notes = ["The pipeline has no safety checker, and its scheduler is the one that the run sampled by."]
        if "unet" in vars(self):
            notes.append("The adapters (LoRA) are merged into the U-Net.")
        if tuple(self.guidance_interval) != (0, 1):
            low, high = self.guidance_interval
            notes.append(
                f"The run guided between the noise levels {low:g} and {high:g}; this pipeline guides throughout."
            )
        if self.sampling_precision != "32-true":
            notes.append("The run sampled with products in bfloat16; the weights are in float32.")
        return replace(made, notes=tuple(notes))


def _check_data(spec: Spec, folder: PipelineFolder) -> None:
    """Refuse a data set that the pipeline cannot be trained on."""
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(
            f"model=stable_diffusion draws images; this data set holds {spec.modality} of shape {spec.shape}: give a "
            "data set of captioned images, such as dataset=emoji"
        )
    if not spec.vocabulary:
        raise UserError("model=stable_diffusion needs captions and this data set has none; give dataset.templates")
    channels, sides = folder.vae_settings["in_channels"], spec.shape[1:]
    if spec.shape[0] != channels:
        raise UserError(
            f"the VAE of {folder.path} takes images of {channels} channels, and this data set's have {spec.shape[0]}; "
            "give a data set of colour images, such as dataset=emoji"
        )
    if any(side % folder.factor for side in sides):
        fits = max(folder.factor, folder.factor * round(min(sides) / folder.factor))
        raise UserError(
            f"the VAE of {folder.path} shrinks sides by {folder.factor}, and {sides[0]}x{sides[1]} is not divisible by "
            f"it; give dataset.image_size={fits}"
        )
