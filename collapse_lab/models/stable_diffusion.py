"""Stable Diffusion, retrained: the U-Net of a pretrained pipeline, on latents of its VAE and states of its texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import LabelledRows
from collapse_lab.models.latent import Latent, Precision, check_captioned
from collapse_lab.nn.encoders import Encoders
from collapse_lab.nn.exporting import export_latent
from collapse_lab.nn.lora import adapted, merged
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pipeline import PipelineFolder
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.pretrained import find_pipeline, need_of
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    AUTO,
    Batch,
    Budget,
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


class StableDiffusion(Latent):
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
        compiled: Whether torch compiles the U-Net (`torch.compile`), anew in every process and for every shape of a
            batch. It pays for long fits on a GPU. On a CPU it needs a C++ compiler.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        guidance_interval: The part of the process that is guided, [low, high] from data (0) to noise (1).
        strength: The share of the process that a sample goes through where the prompt set gives pictures to start from
            (prompts=pictures), above 0 and at most 1. 1 starts from noise alone, so that it is text-to-image.
        sampler: The reverse process; None means `Sampler()`.
        own_scheduler: Whether the pipeline's own scheduler takes the place of `sampler.scheduler`. The steps are those
            of `sampler`; its options have to be arguments of that scheduler.
        sampling_precision: How the U-Net computes while sampling: in float32, or with products in bfloat16.
        pixels: Whether rows are mirrored, and how samples are kept. The range is [-1, 1].
        sampling_batch: How many images are sampled at a time; `auto` is 8 on a CPU, and as many as the memory
            holds on a GPU.
        encoding_batch: How many pictures or prompts are encoded, or latents decoded, at a time.
        cache: The folder whose subfolder `hub` holds files from the hub (paths.data).

    Raises:
        UserError: the data set has no captions, or images of other channels or sides than the VAE takes; a prompt is
            longer than the tokenizer takes; `pretrained` or the adapters are refused; the sampler does not fit;
            `strength` leaves no step; `guidance_interval` or `pixels.range` is wrong; `optimisation` has no moving
            average.
    """

    version: ClassVar[int] = 3
    usual_batch: ClassVar[int] = 8
    sampling_only: ClassVar[frozenset[str]] = Latent.sampling_only | {"own_scheduler"}
    unsigned: ClassVar[frozenset[str]] = frozenset({"download", "gradient_checkpointing", "encoding_batch", "cache"})

    encoders: Encoders

    @classmethod
    def draws_between_steps(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether the sampler may draw noise between its steps, as a pipeline's own scheduler may."""
        return bool(arguments.get("own_scheduler")) or super().draws_between_steps(arguments)

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
        compiled: bool = False,
        guidance_scale: float = 7.5,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        strength: Share = 1.0,
        sampler: Sampler | None = None,
        own_scheduler: bool = False,
        sampling_precision: Precision = "32-true",
        pixels: Pixels = Pixels(),
        sampling_batch: Batch = AUTO,
        encoding_batch: Count = 8,
        cache: str = "~/.cache/collapse_lab",
    ) -> None:
        folder = find_pipeline(pretrained, revision, download, cache)
        _check_data(spec, folder)
        sampler = sampler or Sampler()
        super().__init__(
            spec,
            family="stable_diffusion",
            noising=folder.noising(),
            sampler=replace(sampler, scheduler=folder.scheduler) if own_scheduler else sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
            strength=strength,
            sampling_precision=sampling_precision,
        )
        # No part of this module: what it registers is trained, averaged and stored
        self.encoders = Encoders(folder, encoding_batch, pixels.mirrored)
        self._source = folder
        self.encoders.check(spec.vocabulary)
        self.latent_channels, self.factor = folder.vae_settings["latent_channels"], folder.factor
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
        if compiled:
            self.unet.compile()  # in place, so that the names of the weights stay

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

    def take_states(self, states: States) -> None:
        """Take the states of prompts from a function, so that the text encoder is not read."""
        self.encoders.known = states

    def check_prompts(self, texts: Sequence[str]) -> None:
        """Refuse prompts that are longer than the tokenizer takes."""
        self.encoders.check(texts)

    def begin(self, data: Samples[Rows], budget: Budget, seeds: Seeds) -> None:
        """Take or make the encodings, and let go of the encoders, so that a GPU has room for the U-Net."""
        super().begin(data, budget, seeds)
        self.encoders.release()

    def condition(self, rows: LabelledRows) -> Rows:
        """Return the text encoder's states (n, length, width) of the captions."""
        captions = rows.captions
        return self.encoders.states(captions.table, torch.from_numpy(np.ascontiguousarray(captions.index)), self.device)

    def nothing(self, condition: Tensor) -> Tensor:
        """Return the states that stand for "no condition", in the shape of `condition`."""
        return self.encoders.empty(self.device).to(condition.device).expand_as(condition)

    def embed(self, condition: Tensor) -> Tensor:
        """Return the states as they are, because the text encoder has run already."""
        return condition

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
        merging = ("The adapters (LoRA) are merged into the U-Net.",) if "unet" in vars(self) else ()
        return replace(made, notes=(*self.notes(), *merging))


def _check_data(spec: Spec, folder: PipelineFolder) -> None:
    """Refuse a data set that the pipeline cannot be trained on."""
    check_captioned("stable_diffusion", spec)
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
