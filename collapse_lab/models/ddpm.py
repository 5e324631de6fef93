"""A class-conditional diffusion model: a U-Net that is told the class beside the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import Rows, check_share
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.noising import noising
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.unet import check_unet, unet
from collapse_lab.types import Spec


class DDPM(GuidedDiffusion):
    """min E ||eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t, label)||^2, label dropped with `label_dropout`.

    (arXiv:2006.11239 eq. 14 with the guidance of 2207.12598, as in the MNIST study of 2306.06130.) A class is an
    embedding that is added to that of the time; one more class stands for none.

    channels, attention: width of each resolution, and whether its pixels attend to each other (those of the middle
        always do); every resolution but the first halves the image.
    objective: `eps`, `v` or `flow`; what is written above is `eps`. `flow` has no noise_schedule and no betas.
    guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
    guidance_interval: the part of the process that is guided, from data (0) to noise (1).
    pretrained: a `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.

    Raises:
        UserError: images that the U-Net's depth does not divide, no labels, ranges, a sampler that does not fit.
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
        label_dropout: float = 0.1,
        objective: str = "eps",
        noise_schedule: str = "linear",
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        timesteps: int = 400,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        weight_decay: float = 0.0,
        warmup: float = 0.05,
        ema_decay: float = 0.995,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        sampler: Sampler | None = None,
        sampling_batch: int = 32,
        pretrained: str | None = None,
    ) -> None:
        check_unet("ddpm", spec, channels, attention, norm_groups)
        if not spec.classes:
            raise UserError(
                "model=ddpm is conditioned on labels and this data set has none; give one that has classes, or "
                "model=ddim, which needs none"
            )
        # Clipping the predicted image and not the noise with it, as DDIM does, greys guided samples step by step; the
        # cosine schedule has to, since it begins without any signal and its first guess lies far outside
        schedule = {
            "beta_schedule": noise_schedule,
            "beta_start": beta_start,
            "beta_end": beta_end,
            "clip_sample": noise_schedule == "squaredcos_cap_v2",
        }
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
        )
        classes = len(spec.classes) + 1
        self.unet = unet(spec, channels, attention, layers_per_block, attention_head_dim, norm_groups, classes)
        check_share("label_dropout", label_dropout)
        self.guide(label_dropout, guidance_scale, guidance_interval)
        self.start_from(pretrained)

    def condition(self, rows: Rows) -> Tensor:
        """Labels (n,).

        Raises:
            UserError: a row without a label, or with one that the data set has no class for.
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
        """The class that stands for none."""
        return torch.full_like(condition, len(self.spec.classes))

    def embed(self, condition: Tensor) -> Tensor:
        return condition

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
        return predicted
