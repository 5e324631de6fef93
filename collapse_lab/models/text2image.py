"""A text-to-image diffusion model: a U-Net with cross-attention to a text encoder that is trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import LabelledRows
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.exporting import export_pixels
from collapse_lab.nn.noising import NoiseSchedule, Objective, noising
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.siglip import as_siglip, as_transformers_tokenizer
from collapse_lab.nn.text import TextEncoder, WordTokenizer
from collapse_lab.nn.unet import check_unet
from collapse_lab.types import AUTO, Batch, Count, Exported, Layers, ProperShare, Spec, Times, Width

Part = Literal["text_encoder"]


class Text2Image(GuidedDiffusion):
    """min E ||eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t, text)||^2, text dropped with `prompt_dropout`.

    (arXiv:2006.11239 eq. 14 with the guidance of 2207.12598.)

    Args:
        spec: The data set, of images with captions.
        channels: The width of each resolution; every resolution but the first halves the image.
        attention: Whether the pixels of each resolution attend to the text. In the middle they always do.
        layers_per_block: The number of residual layers of each resolution.
        attention_head_dim: The number of attention heads of a layer of cross-attention: diffusers' class gives this
            meaning to the name.
        norm_groups: The groups of the group normalisation.
        text_width: The size of a state of the text encoder.
        text_layers: The number of layers of the text encoder.
        text_heads: The number of attention heads of a layer of the text encoder.
        prompt_dropout: The share of rows that are trained on without their text, in [0, 1).
        objective: What the network predicts: `eps` (above), `v` or `flow`. `flow` has no noise_schedule.
        noise_schedule: The schedule of the betas, by its name in diffusers.
        timesteps: The number of times of the forward process.
        optimisation: The settings of AdamW and of the moving average of the weights.
        freeze: The parts that a fit from an earlier generation's weights leaves as they are: `text_encoder`. A fit
            from fresh weights trains everything.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        guidance_interval: The part of the process that is guided, [low, high] from data (0) to noise (1).
        sampler: The reverse process; None means `Sampler()`.
        pixels: How the network sees pixels and how samples are kept; usually in [-1, 1], and as uint8.
        sampling_batch: How many images are sampled at a time; `auto` is 256 on a CPU, and as many as the memory
            holds on a GPU.
        pretrained: A `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.

    Raises:
        UserError: the data set has no captions; the U-Net does not fit the images; the sampler does not fit the
            objective; `guidance_interval` is out of range; `optimisation` has no moving average; `pretrained` cannot
            be found.
    """

    version: ClassVar[int] = 1
    usual_batch: ClassVar[int] = 256
    finetuning_only: ClassVar[frozenset[str]] = GuidedDiffusion.finetuning_only | {"freeze"}

    def __init__(
        self,
        spec: Spec,
        *,
        channels: Sequence[Width] = (32, 64),
        attention: Sequence[bool] = (False, False),
        layers_per_block: Layers = 1,
        attention_head_dim: Count = 16,
        norm_groups: Count = 8,
        text_width: Width = 64,
        text_layers: Layers = 1,
        text_heads: Count = 4,
        prompt_dropout: ProperShare = 0.1,
        objective: Objective = "eps",
        noise_schedule: NoiseSchedule = "squaredcos_cap_v2",
        timesteps: Times = 1000,
        optimisation: Optimisation = Optimisation(
            lr=1e-3, lr_schedule="cosine", weight_decay=1e-4, warmup=0.05, ema_decay=0.995
        ),
        freeze: Sequence[Part] = (),
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        sampler: Sampler | None = None,
        pixels: Pixels = Pixels(),
        sampling_batch: Batch = AUTO,
        pretrained: str | None = None,
    ) -> None:
        check_unet("text2image", spec, channels, attention, norm_groups)
        if not spec.vocabulary:
            raise UserError("model=text2image needs captions and this data set has none; give dataset.templates")
        super().__init__(
            spec,
            family="text2image",
            noising=noising(objective, timesteps, {"beta_schedule": noise_schedule}),
            sampler=sampler,
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
        )
        self.tokenize = WordTokenizer(spec.vocabulary)
        self.text = TextEncoder(self.tokenize.size, self.tokenize.length, text_width, text_layers, text_heads)
        self.frozen = [self.text] if "text_encoder" in freeze else []
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
        self.guide(prompt_dropout, guidance_scale, guidance_interval)
        self.start_from(pretrained)

    def condition(self, rows: LabelledRows) -> Tensor:
        """Return the tokens (n, length) of the captions."""
        return self.tokenize(rows.captions.table)[torch.from_numpy(rows.captions.index)]

    def nothing(self, condition: Tensor) -> Tensor:
        """Return the empty prompt: the token that begins every sequence, and padding."""
        empty = torch.zeros_like(condition)
        empty[:, 0] = condition[:, 0]
        return empty

    def embed(self, condition: Tensor) -> Tensor:
        """Return the states (n, length, width) of the text encoder."""
        states: Tensor = self.text(condition)
        return states

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the U-Net's prediction, of the shape of x."""
        predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
        return predicted

    def export(self, folder: Path) -> Exported:
        """Write a pipeline of diffusers, its class beside the weights, with a text encoder of transformers."""
        return export_pixels(
            folder,
            self.spec,
            self.unet,
            self.sampler,
            self.noising.config,
            self.pixels,
            text_encoder=as_siglip(self.text),
            tokenizer=as_transformers_tokenizer(self.tokenize),
            **self.guiding,
        )
