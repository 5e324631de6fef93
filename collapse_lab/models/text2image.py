"""A text-to-image diffusion model: a U-Net with cross-attention on a text encoder trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import Rows, check_share
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.noising import noising
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.text import TextEncoder, WordTokenizer
from collapse_lab.nn.unet import check_unet
from collapse_lab.types import Spec


class Text2Image(GuidedDiffusion):
    """min E ||eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t, text)||^2, text dropped with `prompt_dropout`.

    (arXiv:2006.11239 eq. 14 with the guidance of 2207.12598.)

    channels, attention: width of each resolution, and whether the text is attended to there (it always is in the
        middle); every resolution but the first halves the image.
    objective: `eps`, `v` or `flow`; what is written above is `eps`. `flow` has no noise_schedule.
    guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
    guidance_interval: the part of the process that is guided, from data (0) to noise (1).
    pretrained: a `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.

    Raises:
        UserError: images that the U-Net's depth does not divide, no captions, ranges, a sampler that does not fit.
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
        text_width: int = 64,
        text_layers: int = 1,
        text_heads: int = 4,
        prompt_dropout: float = 0.1,
        objective: str = "eps",
        noise_schedule: str = "squaredcos_cap_v2",
        timesteps: int = 1000,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        weight_decay: float = 1e-4,
        warmup: float = 0.05,
        ema_decay: float = 0.995,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        sampler: Sampler | None = None,
        sampling_batch: int = 256,
        pretrained: str | None = None,
    ) -> None:
        check_unet("text2image", spec, channels, attention, norm_groups)
        if not spec.vocabulary:
            raise UserError("model=text2image needs captions and this data set has none; give dataset.templates")
        super().__init__(
            spec,
            noising=noising(objective, timesteps, {"beta_schedule": noise_schedule}),
            sampler=sampler,
            sampling_batch=sampling_batch,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            warmup=warmup,
            ema_decay=ema_decay,
        )
        self.tokenize = WordTokenizer(spec.vocabulary)
        self.text = TextEncoder(self.tokenize.size, self.tokenize.length, text_width, text_layers, text_heads)
        self.unet = UNet2DConditionModel(
            sample_size=spec.shape[1],
            in_channels=spec.shape[0],
            out_channels=spec.shape[0],
            block_out_channels=tuple(channels),
            layers_per_block=layers_per_block,
            down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
            mid_block_type="UNetMidBlock2DCrossAttn",
            cross_attention_dim=text_width,
            attention_head_dim=attention_head_dim,
            norm_num_groups=norm_groups,
        )
        check_share("prompt_dropout", prompt_dropout)
        self.guide(prompt_dropout, guidance_scale, guidance_interval)
        self.start_from(pretrained)

    def condition(self, rows: Rows) -> Tensor:
        """Tokens (n, length)."""
        return self.tokenize(rows.captions.table)[torch.from_numpy(rows.captions.index)]

    def nothing(self, condition: Tensor) -> Tensor:
        """The empty prompt: the token that opens every sequence, and padding."""
        empty = torch.zeros_like(condition)
        empty[:, 0] = condition[:, 0]
        return empty

    def embed(self, condition: Tensor) -> Tensor:
        states: Tensor = self.text(condition)
        return states

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
        return predicted
