"""An unconditional diffusion model over a cosine schedule in log-SNR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from collapse_lab.models.diffusion import Diffusion, LabelledRows, Loss
from collapse_lab.nn.exporting import export_pixels
from collapse_lab.nn.noising import Objective, cosine_betas, noising
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.selection import Selection
from collapse_lab.nn.unet import check_unet, unet
from collapse_lab.types import AUTO, Batch, Count, Exported, Layers, Spec, Times, Width


class DDIM(Diffusion):
    """min E |eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t)|, a_t = cos^2(phi_t) with phi_t linear in t.

    (arXiv:2010.02502, as in the flowers and birds study of 2306.06130.) The model depends on neither labels nor
    captions, and has no guidance. Samples carry the labels and captions that were requested.

    Args:
        spec: The data set, of images.
        channels: The width of each resolution; every resolution but the first halves the image.
        attention: Whether the pixels of each resolution attend to each other. In the middle they always do.
        layers_per_block: The number of residual layers of each resolution.
        attention_head_dim: The channels of an attention head.
        norm_groups: The groups of the group normalisation.
        objective: What the network predicts: `eps` (above), `v` or `flow`. `flow` has no log-SNR schedule.
        loss: `mae` (above) or `mse`.
        log_snr_start: log(a_t / (1 - a_t)) next to the data.
        log_snr_end: log(a_t / (1 - a_t)) next to the noise.
        timesteps: The number of times of the forward process.
        optimisation: The settings of AdamW and of the moving average of the weights.
        sampler: The reverse process; None means `Sampler()`.
        pixels: How the network sees pixels and how samples are kept; usually in [-1, 1], and as uint8.
        sampling_batch: How many images are sampled at a time; `auto` is 64 on a CPU, and as many as the memory
            holds on a GPU.
        pretrained: A `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.
        selection: Which weights a fit keeps: the last ones, or those whose images lie nearest to validation rows.

    Raises:
        UserError: the U-Net does not fit the images; the sampler does not fit the objective; the log-SNR does not
            fall; `optimisation` has no moving average; `pretrained` cannot be found.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        spec: Spec,
        *,
        channels: Sequence[Width] = (32, 64),
        attention: Sequence[bool] = (False, False),
        layers_per_block: Layers = 1,
        attention_head_dim: Count = 16,
        norm_groups: Count = 8,
        objective: Objective = "eps",
        loss: Loss = "mae",
        log_snr_start: float = 2.5,
        log_snr_end: float = -7.5,
        timesteps: Times = 1000,
        optimisation: Optimisation = Optimisation(
            lr=1e-3, lr_schedule="cosine", weight_decay=1e-4, warmup=0.05, ema_decay=0.995
        ),
        sampler: Sampler | None = None,
        pixels: Pixels = Pixels(),
        sampling_batch: Batch = AUTO,
        pretrained: str | None = None,
        selection: Selection = Selection(),
    ) -> None:
        check_unet("ddim", spec, channels, attention, norm_groups)
        schedule = {"trained_betas": cosine_betas(timesteps, log_snr_start, log_snr_end), "clip_sample": False}
        super().__init__(
            spec,
            family="ddim",
            noising=noising(objective, timesteps, schedule),
            sampler=sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
            selection=selection,
            loss=loss,
        )
        self.unet = unet(spec, channels, attention, layers_per_block, attention_head_dim, norm_groups)
        self.start_from(pretrained)

    def condition(self, rows: LabelledRows) -> Tensor:
        """Return an empty condition, (n, 0)."""
        return torch.empty(len(rows), 0)

    def embed(self, condition: Tensor) -> Tensor:
        """Return the empty condition."""
        return condition

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the U-Net's prediction, of the shape of x."""
        del embedded
        predicted: Tensor = self.unet(x, t, return_dict=False)[0]
        return predicted

    def export(self, folder: Path) -> Exported:
        """Write diffusers' `DDIMPipeline`, or a pipeline with its class where that would draw other images."""
        return export_pixels(folder, self.spec, self.unet, self.sampler, self.noising.config, self.pixels)
