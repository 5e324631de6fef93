"""A class-conditional diffusion model: a U-Net that receives the class beside the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import LabelledRows
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.exporting import export_pixels
from collapse_lab.nn.noising import NoiseSchedule, Objective, noising
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.selection import Selection
from collapse_lab.nn.unet import check_unet, unet
from collapse_lab.types import AUTO, Batch, Count, Exported, Layers, ProperShare, Spec, Times, Width


class DDPM(GuidedDiffusion):
    """min E ||eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t, label)||^2, label dropped with `label_dropout`.

    (arXiv:2006.11239 eq. 14 with the guidance of 2207.12598, as in the MNIST study of 2306.06130.) The embedding of the
    class is added to that of the time. One more class stands for "no class".

    Args:
        spec: The data set, of images with classes.
        channels: The width of each resolution; every resolution but the first halves the image.
        attention: Whether the pixels of each resolution attend to each other. In the middle they always do.
        layers_per_block: The number of residual layers of each resolution.
        attention_head_dim: The channels of an attention head.
        norm_groups: The groups of the group normalisation.
        label_dropout: The share of rows that are trained on without their label, in [0, 1).
        objective: What the network predicts: `eps` (above), `v` or `flow`. `flow` has no noise_schedule and no betas.
        noise_schedule: The schedule of the betas, by its name in diffusers.
        beta_start: The beta next to the data.
        beta_end: The beta next to the noise.
        timesteps: The number of times of the forward process.
        optimisation: The settings of AdamW and of the moving average of the weights.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        guidance_interval: The part of the process that is guided, [low, high] from data (0) to noise (1).
        sampler: The reverse process; None means `Sampler()`.
        pixels: How the network sees pixels and how samples are kept; usually in [-1, 1], and as uint8.
        sampling_batch: How many images are sampled at a time; `auto` is 32 on a CPU, and as many as the memory
            holds on a GPU.
        pretrained: A `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.
        selection: Which weights a fit keeps: the last ones, or those whose images lie nearest to validation rows.

    Raises:
        UserError: the data set has no classes; the U-Net does not fit the images; the sampler does not fit the
            objective; `guidance_interval` is out of range; `optimisation` has no moving average; `pretrained` cannot
            be found.
    """

    version: ClassVar[int] = 1
    usual_batch: ClassVar[int] = 32

    def __init__(
        self,
        spec: Spec,
        *,
        channels: Sequence[Width] = (32, 64),
        attention: Sequence[bool] = (False, False),
        layers_per_block: Layers = 1,
        attention_head_dim: Count = 16,
        norm_groups: Count = 8,
        label_dropout: ProperShare = 0.1,
        objective: Objective = "eps",
        noise_schedule: NoiseSchedule = "linear",
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        timesteps: Times = 400,
        optimisation: Optimisation = Optimisation(
            lr=1e-3, lr_schedule="cosine", weight_decay=0.0, warmup=0.05, ema_decay=0.995
        ),
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        sampler: Sampler | None = None,
        pixels: Pixels = Pixels(),
        sampling_batch: Batch = AUTO,
        pretrained: str | None = None,
        selection: Selection = Selection(),
    ) -> None:
        check_unet("ddpm", spec, channels, attention, norm_groups)
        if not spec.classes:
            raise UserError(
                "model=ddpm is conditioned on labels and this data set has none; give a data set with classes, or "
                "model=ddim, which needs none"
            )
        # If the predicted image is clipped and the noise is not, as in DDIM, guided samples turn greyer at each step.
        # The cosine schedule has to clip, because it begins without any signal and its first guess lies far outside.
        schedule = {
            "beta_schedule": noise_schedule,
            "beta_start": beta_start,
            "beta_end": beta_end,
            "clip_sample": noise_schedule == "squaredcos_cap_v2",
        }
        super().__init__(
            spec,
            family="ddpm",
            noising=noising(objective, timesteps, schedule),
            sampler=sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
            selection=selection,
        )
        classes = len(spec.classes) + 1
        self.unet = unet(spec, channels, attention, layers_per_block, attention_head_dim, norm_groups, classes)
        self.guide(label_dropout, guidance_scale, guidance_interval)
        self.start_from(pretrained)

    def condition(self, rows: LabelledRows) -> Tensor:
        """Return the labels (n,).

        Raises:
            UserError: a row has no label, or a label that is none of the data set's classes.
        """
        known = (rows.labels >= 0) & (rows.labels < len(self.spec.classes))
        if not known.all():
            raise UserError(
                f"model=ddpm is conditioned on labels and {int((~known).sum())} of {len(rows)} rows or prompts have "
                f"none of the {len(self.spec.classes)} classes; give prompts=all or prompts=classes, or a data set "
                "that labels every row"
            )
        return torch.from_numpy(rows.labels)

    def nothing(self, condition: Tensor) -> Tensor:
        """Return the class that stands for "no class", in the shape of `condition`."""
        return torch.full_like(condition, len(self.spec.classes))

    def embed(self, condition: Tensor) -> Tensor:
        """Return the labels (n,): the U-Net embeds them itself."""
        return condition

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the U-Net's prediction, of the shape of x."""
        predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
        return predicted

    def export(self, folder: Path) -> Exported:
        """Write a pipeline of diffusers that draws classes, with its class beside the weights."""
        classes = {str(number): word for number, word in enumerate(self.spec.classes)}
        return export_pixels(
            folder,
            self.spec,
            self.unet,
            self.sampler,
            self.noising.config,
            self.pixels,
            classes=classes,
            **self.guiding,
        )
