"""An unconditional diffusion model over a cosine schedule in log-SNR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from collapse_lab.models.diffusion import Diffusion, Rows
from collapse_lab.nn.noising import cosine_betas, noising
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.unet import check_unet, unet
from collapse_lab.types import Spec


class DDIM(Diffusion):
    """min E |eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t)|, a_t = cos^2(phi_t) with phi_t linear in t.

    (arXiv:2010.02502, as in the flowers and birds study of 2306.06130.) Labels and captions of what is sampled are
    those that were asked for: the model knows of neither, and has no guidance.

    channels, attention: width of each resolution, and whether its pixels attend to each other (those of the middle
        always do); every resolution but the first halves the image.
    objective: `eps`, `v` or `flow`; what is written above is `eps`. `flow` has no log-SNR schedule.
    loss: `mae` (above) or `mse`.
    log_snr_start, log_snr_end: log(a_t / (1 - a_t)) next to the data and next to the noise.
    pretrained: a `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.

    Raises:
        UserError: images that the U-Net's depth does not divide, ranges, a sampler that does not fit.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        spec: Spec,
        *,
        channels: Sequence[int] = (32, 64),
        attention: Sequence[bool] = (False, False),
        layers_per_block: int = 1,
        attention_head_dim: int = 16,
        norm_groups: int = 8,
        objective: str = "eps",
        loss: str = "mae",
        log_snr_start: float = 2.5,
        log_snr_end: float = -7.5,
        timesteps: int = 1000,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        weight_decay: float = 1e-4,
        warmup: float = 0.05,
        ema_decay: float = 0.995,
        sampler: Sampler | None = None,
        sampling_batch: int = 64,
        pretrained: str | None = None,
    ) -> None:
        check_unet("ddim", spec, channels, attention, norm_groups)
        schedule = {"trained_betas": cosine_betas(timesteps, log_snr_start, log_snr_end), "clip_sample": False}
        super().__init__(
            spec,
            noising=noising(objective, timesteps, schedule),
            sampler=sampler,
            sampling_batch=sampling_batch,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            warmup=warmup,
            ema_decay=ema_decay,
            loss=loss,
        )
        self.unet = unet(spec, channels, attention, layers_per_block, attention_head_dim, norm_groups)
        self.start_from(pretrained)

    def condition(self, rows: Rows) -> Tensor:
        """Nothing, (n, 0)."""
        return torch.empty(len(rows), 0)

    def embed(self, condition: Tensor) -> Tensor:
        return condition

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        del embedded
        predicted: Tensor = self.unet(x, t, return_dict=False)[0]
        return predicted
