"""A latent diffusion pipeline that is trained from scratch: an autoencoder, then a U-Net with its text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from collapse_lab.engine import lightning
from collapse_lab.errors import UserError
from collapse_lab.models.diffusion import LabelledRows
from collapse_lab.models.latent import Latent, Precision, check_captioned
from collapse_lab.nn.autoencoder import Autoencoder, OwnLatents, scale_of
from collapse_lab.nn.exporting import export_parts
from collapse_lab.nn.noising import NoiseSchedule, noising
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.siglip import as_transformers_tokenizer
from collapse_lab.nn.text import WordTokenizer
from collapse_lab.nn.unet import check_unet
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    AUTO,
    Batch,
    Budget,
    Count,
    Exported,
    Layers,
    ProperShare,
    Rows,
    Samples,
    Share,
    Spec,
    Times,
    Weights,
    Width,
)


class LatentDiffusion(Latent):
    """min E ||target - U(a_t z + s_t eps, t, text)||^2, z = (mean + deviation eps') / std, all of it trained here.

    The parts are those of Stable Diffusion 1.x (arXiv:2112.10752): `AutoencoderKL`, `UNet2DConditionModel` and
    `CLIPTextModel`, at sizes of a laptop and with random weights. A cold fit, one from fresh weights, first trains the
    autoencoder for a share of its steps. Then the latents of the training rows are divided by their standard deviation,
    and the U-Net and the text encoder are trained together, as in that paper. A warm fit, one from an earlier
    generation's weights, trains the U-Net alone, as in arXiv:2311.12202. The moving average of the weights begins where
    the autoencoder is trained. A stored fit holds the whole pipeline.

    Args:
        spec: The data set, of images with captions.
        autoencoder: The sizes and the training of the autoencoder.
        channels: The width of each resolution of the U-Net; every resolution but the first halves the latents.
        attention: Whether the latents of each resolution attend to the text. In the middle they always do.
        layers_per_block: The number of residual layers of each resolution of the U-Net.
        attention_head_dim: The number of attention heads of a layer of cross-attention: diffusers' class gives this
            meaning to the name.
        norm_groups: The groups of the group normalisation of the U-Net.
        text_width: The size of a state of the text encoder.
        text_layers: The number of layers of the text encoder.
        text_heads: The number of attention heads of a layer of the text encoder; they divide its width.
        prompt_dropout: The share of rows that are trained on with the empty prompt, in [0, 1).
        objective: What the U-Net predicts: the noise (`eps`) or the velocity (`v`).
        noise_schedule: The schedule of the betas, by its name in diffusers.
        timesteps: The number of times of the forward process.
        optimisation: The settings of AdamW and of the moving average of the weights.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        guidance_interval: The part of the process that is guided, [low, high] from data (0) to noise (1).
        strength: The share of the process that a sample goes through where the prompt set gives pictures to start from
            (prompts=pictures), above 0 and at most 1. 1 starts from noise alone, so that it is text-to-image.
        sampler: The reverse process; None means `Sampler()`.
        sampling_precision: How the U-Net computes while sampling: in float32, or with products in bfloat16.
        pixels: Whether rows are mirrored, and how samples are kept. The range is [-1, 1].
        sampling_batch: How many images are sampled at a time; `auto` is 64 on a CPU, and as many as the memory
            holds on a GPU.
        encoding_batch: How many pictures are encoded, or latents decoded, at a time.

    Raises:
        UserError: the data set has no captions, or images whose sides cannot be halved as often as the autoencoder and
            the U-Net do it; the sizes of the networks do not fit each other; the sampler does not fit; `strength`
            leaves no step; `guidance_interval` or `pixels.range` is wrong; `optimisation` has no moving average.
    """

    version: ClassVar[int] = 1
    unsigned: ClassVar[frozenset[str]] = frozenset({"encoding_batch"})
    divides: ClassVar[bool] = False  # because what is trained changes inside a fit, when the autoencoder is done

    latent_scale: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        autoencoder: Autoencoder = Autoencoder(),
        channels: Sequence[Width] = (64, 128),
        attention: Sequence[bool] = (False, True),
        layers_per_block: Layers = 1,
        attention_head_dim: Count = 4,
        norm_groups: Count = 8,
        text_width: Width = 64,
        text_layers: Layers = 2,
        text_heads: Count = 4,
        prompt_dropout: ProperShare = 0.1,
        objective: Literal["eps", "v"] = "v",
        noise_schedule: NoiseSchedule = "squaredcos_cap_v2",
        timesteps: Times = 1000,
        optimisation: Optimisation = Optimisation(
            lr=1e-3, lr_schedule="cosine", weight_decay=1e-4, warmup=0.05, ema_decay=0.995
        ),
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        strength: Share = 1.0,
        sampler: Sampler | None = None,
        sampling_precision: Precision = "32-true",
        pixels: Pixels = Pixels(),
        sampling_batch: Batch = AUTO,
        encoding_batch: Count = 64,
    ) -> None:
        check_captioned("latent_diffusion", spec)
        _check_sizes(spec, autoencoder.factor, len(channels), text_width, text_heads)
        latents = (autoencoder.latent_channels, *(side // autoencoder.factor for side in spec.shape[1:]))
        check_unet("latent_diffusion", replace(spec, shape=latents), channels, attention, norm_groups)
        super().__init__(
            spec,
            family="latent_diffusion",
            # Because latents are not bounded, a sampler may not clip them
            noising=noising(objective, timesteps, {"beta_schedule": noise_schedule, "clip_sample": False}),
            sampler=sampler or Sampler(),
            pixels=pixels,
            sampling_batch=sampling_batch,
            optimisation=optimisation,
            strength=strength,
            sampling_precision=sampling_precision,
        )
        self.autoencoder, self.factor = autoencoder, autoencoder.factor
        self.latent_channels = autoencoder.latent_channels
        self.tokenize = WordTokenizer(spec.vocabulary)
        self.vae = autoencoder.built(spec)
        self.text_encoder = _text_encoder(self.tokenize, text_width, text_layers, text_heads)
        self.unet = UNet2DConditionModel(
            sample_size=latents[1],
            in_channels=latents[0],
            out_channels=latents[0],
            block_out_channels=tuple(channels),
            layers_per_block=layers_per_block,
            down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
            mid_block_type="UNetMidBlock2DCrossAttn",
            cross_attention_dim=text_width,
            attention_head_dim=attention_head_dim,
            norm_num_groups=norm_groups,
        )
        self.register_buffer("latent_scale", torch.ones(()))
        self._scale = 1.0  # the same number, because reading a tensor would wait for the GPU in each step
        self.encoders = OwnLatents(self.vae, lambda: self._scale, encoding_batch, pixels.mirrored)
        self.frozen = [self.vae, self.text_encoder]
        self.guide(prompt_dropout, guidance_scale, guidance_interval)

    def check_prompts(self, texts: Sequence[str]) -> None:
        """Refuse prompts that are longer than every caption.

        Raises:
            UserError: the text encoder has no place for all words of a prompt.
        """
        longest = max(texts, key=self.tokenize.count, default="")
        if self.tokenize.count(longest) > self.tokenize.length:
            raise UserError(
                f"the text encoder takes {self.tokenize.length - 1} words and marks, as many as the longest caption "
                f"has, and '{longest[:80]}' has {self.tokenize.count(longest) - 1}; shorten the prompt"
            )

    def begin(self, data: Samples[Rows], budget: Budget, seeds: Seeds) -> None:
        """Take rows and prompts. A cold fit encodes the rows when its autoencoder is trained, a warm one at once."""
        self._first = 0 if budget.warm else self.autoencoder.steps(budget.steps)
        self._settled = False
        super().begin(data, budget, seeds)

    def encode_rows(self) -> None:
        """Encode the pictures, if the autoencoder stays as it is from now on."""
        self._latents = torch.empty(0)
        if self._budget.warm:
            self._settle()

    def end(self) -> None:
        """Let go of what `begin` took."""
        super().end()
        self._scale = float(self.latent_scale)  # because a fit that was done already came from its checkpoint

    def steps_ahead(self, device: str) -> int:
        """Return how many steps are drawn ahead: none in a cold fit, which makes its latents while it is under way."""
        return super().steps_ahead(device) if self._budget.warm else 0

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of the rows with these numbers: that of the autoencoder first, then that of the U-Net."""
        if self.global_step < self._first:
            chosen = rows[: self.autoencoder.rows_of_part(self._budget.accumulate)]
            x = self.pixels.seen(self._data.data[chosen], self._mirror).to(self.device)
            return self.autoencoder.loss(self.vae, x, self._noise)
        if not self._settled:
            self._settle()
        return super().training_step(rows)

    def _settle(self) -> None:
        """Freeze the autoencoder and encode the rows; a cold fit sets the scale of the latents."""
        self._settled = True
        self.vae.requires_grad_(False)
        with torch.autocast(self.device.type, enabled=False):
            super().encode_rows()
        if not self._budget.warm:
            self.latent_scale.fill_(scale_of(self._latents[:][:, 0]))
            self._scale = float(self.latent_scale)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Add the weights of this step to the average, once the autoencoder is trained."""
        if self._settled:
            super().on_train_batch_end(outputs, batch, batch_idx)

    def configure_optimizers(self) -> Any:
        """Return one AdamW of all parts. The autoencoder and the others each have a rate and a course of their own."""
        if not self._first:
            return super().configure_optimizers()
        first, later = (replace(self._budget, steps=n) for n in (self._first, self._budget.steps - self._first))
        others = [*self.text_encoder.parameters(), *self.unet.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": list(self.vae.parameters()), "lr": self.autoencoder.lr},
            {"params": others},
        ]
        optimiser = torch.optim.AdamW(
            groups,
            self.optimisation.rate(self._budget),
            weight_decay=self.optimisation.weight_decay,
            betas=self.optimisation.betas_or((0.9, 0.99)),
            fused=lightning.fused(self),
        )
        begin, own, course = self._first, self.optimisation.course(first), self.optimisation.course(later)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, [lambda step: own(min(step, begin)), lambda step: course(max(0, step - begin))]
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        super().load(weights)
        self._scale = float(self.latent_scale)

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
        states: Tensor = self.text_encoder(condition)[0]
        return states

    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the U-Net's prediction, of the shape of x."""
        predicted: Tensor = self.unet(x, t, embedded, return_dict=False)[0]
        return predicted

    def export(self, folder: Path) -> Exported:
        """Write the whole pipeline as diffusers' `StableDiffusionPipeline`."""
        self.vae.register_to_config(scaling_factor=self._scale)
        parts = {
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": as_transformers_tokenizer(self.tokenize),
            "unet": self.unet,
        }
        made = export_parts(folder, self.spec, parts, self.noising.config, self.sampler, self.guidance_scale)
        return replace(made, notes=self.notes())


def _text_encoder(words: WordTokenizer, width: int, layers: int, heads: int) -> Any:
    """Return a text encoder of CLIP's architecture, with random weights, for sequences of words."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words.size,
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=words.length,
            hidden_act="gelu",
            bos_token_id=2,
            eos_token_id=0,  # the first one ends a prompt, and nothing reads what CLIP takes from there
            pad_token_id=0,
        )
    )


def _check_sizes(spec: Spec, factor: int, resolutions: int, width: int, heads: int) -> None:
    """Refuse images that cannot be halved often enough, and heads that do not divide the text encoder's width."""
    whole = factor * 2 ** (resolutions - 1)
    if any(side % whole for side in spec.shape[1:]):
        fits = max(whole, whole * round(min(spec.shape[1:]) / whole))
        raise UserError(
            f"the autoencoder shrinks sides by {factor} and the U-Net by {whole // factor} more, and {spec.shape[1]}x"
            f"{spec.shape[2]} is not divisible by {whole}; give dataset.image_size={fits}, or fewer model.channels"
        )
    if width % heads:
        raise UserError(
            f"model.text_heads {heads} does not divide model.text_width {width}; give model.text_width="
            f"{heads * (width // heads + 1)}, or another number of heads"
        )
