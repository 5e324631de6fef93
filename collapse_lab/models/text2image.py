"""A text-to-image diffusion model: a U-Net with cross-attention on a text encoder trained with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor

from collapse_lab import lightning
from collapse_lab.errors import Diverged, UserError
from collapse_lab.images import as_float, as_uint8
from collapse_lab.nn.samplers import Sampler, guided
from collapse_lab.nn.text import TextEncoder, WordTokenizer
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Conditions, Progress, Samples, Spec, Weights


class Text2Image(pl.LightningModule):
    """min E ||eps - eps_theta(sqrt(a_t) x + sqrt(1 - a_t) eps, t, text)||^2, text dropped with `prompt_dropout`.

    (arXiv:2006.11239 eq. 14 with the guidance of 2207.12598.) What is kept of a fit, and sampled from, is the
    exponential moving average of the weights; a later generation starts from that average.

    channels, attention: width of each resolution, and whether the text is attended to there (it always is in the
        middle); every resolution but the first halves the image.
    guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
    pretrained: a `tensors.safetensors` of this family (any fit in a store), for lineage=pretrained.

    Raises:
        UserError: images that the U-Net's depth does not divide, no captions, ranges.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"guidance_scale", "sampler", "sampling_batch"})

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
        noise_schedule: str = "squaredcos_cap_v2",
        prediction: str = "epsilon",
        timesteps: int = 1000,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        warmup: float = 0.05,
        ema_decay: float = 0.995,
        guidance_scale: float = 2.0,
        sampler: Sampler | None = None,
        sampling_batch: int = 256,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        _check(spec, channels, attention, prompt_dropout, ema_decay)
        self.spec, self.guidance_scale, self.sampling_batch = spec, guidance_scale, sampling_batch
        self.prompt_dropout, self.ema_decay = prompt_dropout, ema_decay
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.sampler = sampler or Sampler()
        self.tokenize = WordTokenizer(spec.vocabulary)
        self.noising = DDPMScheduler(
            num_train_timesteps=timesteps, beta_schedule=noise_schedule, prediction_type=prediction
        )
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
        if pretrained is not None:
            self.load(_read_weights(pretrained))

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self._data = data
        self._tokens = self.tokenize(data.captions.table)
        self._caption = torch.from_numpy(data.captions.index)
        self._noise = seeds.child("noise").torch()
        self._steps = budget.steps
        self._ema = EMAModel(self.parameters(), decay=self.ema_decay, foreach=True)
        with seeds.child("dropout").scoped():
            lightning.fit(self, lightning.RandomRows(len(data), budget, seeds), budget, progress)
        self._ema.copy_to(self.parameters())

    def on_fit_start(self) -> None:
        self._ema.to(self.device)

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Row numbers stay on the CPU, where the rows are."""
        return batch

    def training_step(self, rows: Tensor) -> Tensor:
        x = as_float(self._data.data[rows])
        tokens = self._tokens[self._caption[rows]]
        dropped = torch.rand(len(rows), generator=self._noise) < self.prompt_dropout
        tokens[dropped, 1:] = 0
        t = torch.randint(self.noising.config.num_train_timesteps, (len(rows),), generator=self._noise)
        noise = torch.randn(x.shape, generator=self._noise)
        predicted, target = self._denoise(x, tokens, t, noise)
        return torch.nn.functional.mse_loss(predicted, target)

    def _denoise(self, x: Tensor, tokens: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        x, tokens, t, noise = (each.to(self.device) for each in (x, tokens, t, noise))
        noisy = self.noising.add_noise(x, noise, t)
        v_prediction = self.noising.config.prediction_type == "v_prediction"
        target = self.noising.get_velocity(x, noise, t) if v_prediction else noise
        predicted = self.unet(noisy, t, self.text(tokens), return_dict=False)[0]
        return predicted, target

    @torch.no_grad()
    def denoising_losses(self, samples: Samples, times: Tensor, noise: Tensor) -> Tensor:
        """The training objective of each row, text kept, at `times` in [0, 1) of the process and with `noise` (n, …).

        Returns (n,) float32.
        """
        self.eval()
        tokens = self.tokenize(samples.captions.table)[torch.from_numpy(samples.captions.index)]
        t = (times * self.noising.config.num_train_timesteps).long()
        losses = []
        for lo, hi in _spans(len(samples), self.sampling_batch):
            predicted, target = self._denoise(as_float(samples.data[lo:hi]), tokens[lo:hi], t[lo:hi], noise[lo:hi])
            losses.append((predicted - target).square().flatten(1).mean(1).cpu())
        return torch.cat(losses)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self._ema.step(self.parameters())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(),
            self.lr,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.99),
            # On a GPU the fused step unscales by itself, which Lightning refuses together with clipping in 16-mixed
            fused=self.device.type == "cpu",
        )
        schedule = get_cosine_schedule_with_warmup(optimizer, round(self.warmup * self._steps), self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """One image for each condition, quantised to uint8."""
        self.eval()
        generator = seeds.torch()
        noise = torch.randn(len(conditions), *self.spec.shape, generator=generator)
        tokens = self.tokenize(conditions.captions.table)[torch.from_numpy(conditions.captions.index)]
        images = torch.cat(
            [
                self._sample_batch(noise[lo:hi], tokens[lo:hi], generator, progress)
                for lo, hi in _spans(len(conditions), self.sampling_batch)
            ]
        )
        if not images.isfinite().all():
            raise Diverged(f"{int((~images.isfinite()).flatten(1).any(1).sum())} samples are not finite")
        return Samples(as_uint8(images), conditions.labels, conditions.captions)

    def _sample_batch(self, noise: Tensor, tokens: Tensor, generator: torch.Generator, progress: Progress) -> Tensor:
        text = self.text(tokens.to(self.device))
        if self.guidance_scale != 1:
            empty = torch.zeros_like(tokens[:1])
            empty[:, 0] = tokens[0, 0]
            text = torch.cat([text, self.text(empty.to(self.device)).expand_as(text)])

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            if self.guidance_scale == 1:
                conditional: Tensor = self.unet(x, t, text, return_dict=False)[0]
                return conditional
            both = self.unet(torch.cat([x, x]), t, text, return_dict=False)[0]
            with_text, without = both.chunk(2)
            return guided(with_text, without, self.guidance_scale)

        config = dict(self.noising.config)
        x = self.sampler.run(denoise, noise.to(self.device), config, generator, lambda: progress.advance(len(noise)))
        return x.cpu()

    def sampling_steps(self, n: int) -> int:
        """How often `sample` advances the progress for n conditions."""
        return n * self.sampler.steps

    def weights(self) -> Weights:
        return {name: value.detach().cpu() for name, value in self.state_dict().items()}

    def load(self, weights: Weights) -> None:
        self.load_state_dict(dict(weights))


def _spans(n: int, size: int) -> list[tuple[int, int]]:
    return [(lo, min(lo + size, n)) for lo in range(0, n, size)]


def _check(
    spec: Spec, channels: Sequence[int], attention: Sequence[bool], prompt_dropout: float, ema_decay: float
) -> None:
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(f"model=text2image draws images; this data set holds {spec.modality} of shape {spec.shape}")
    if not spec.vocabulary:
        raise UserError("model=text2image needs captions and this data set has none; give dataset.templates")
    if len(channels) != len(attention):
        raise UserError(
            f"model.channels and model.attention have one entry per resolution; got {len(channels)} and "
            f"{len(attention)}"
        )
    factor = 2 ** (len(channels) - 1)
    if spec.shape[1] % factor or spec.shape[2] % factor:
        raise UserError(
            f"a U-Net of {len(channels)} resolutions halves the image {len(channels) - 1} times, and {spec.shape[1]}x"
            f"{spec.shape[2]} is not divisible by {factor}; give fewer model.channels, or dataset.image_size"
        )
    for name, value in (("prompt_dropout", prompt_dropout), ("ema_decay", ema_decay)):
        if not 0 <= value < 1:
            raise UserError(f"model.{name} lies in [0, 1); got {value}")


def _read_weights(path: str) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    file = Path(path) / "tensors.safetensors" if Path(path).is_dir() else Path(path)
    if file.suffix != ".safetensors" or not file.exists():
        raise UserError(f"model.pretrained is a .safetensors file, or a stage's folder that holds one; got {path}")
    return load_file(file)
