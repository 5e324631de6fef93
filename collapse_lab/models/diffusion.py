"""What a denoising model is, whatever it is conditioned on: fitting, averaging, sampling in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import pytorch_lightning as pl
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from collapse_lab.engine import fitting
from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import Diverged, UserError, check_choice
from collapse_lab.images import as_float, as_uint8
from collapse_lab.nn.noising import Noising
from collapse_lab.nn.samplers import Denoiser, Sampler
from collapse_lab.nn.spans import spans
from collapse_lab.types import Budget, Captions, Conditions, Progress, Samples, Spec, Weights

Loss = Literal["mse", "mae"]


class Rows(Protocol):
    """What a model may be conditioned on: the labels and captions of samples, or of what is to be sampled."""

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def captions(self) -> Captions: ...
    def __len__(self) -> int: ...


class Diffusion(pl.LightningModule, ABC):
    """min E ||target - prediction(x_t, t, condition)||, x_t and the target from `noising` (arXiv:2006.11239, eq. 14).

    What is kept of a fit, and sampled from, is the exponential moving average of the weights; a later generation
    starts from that average. A family builds its networks after this constructor, then calls `start_from`.

    loss: `mse` or `mae`, the norm above.
    lr_schedule: how the learning rate of AdamW goes to zero after its linear warm-up, or stays.

    Raises:
        UserError: ranges, and a sampler that does not fit what is predicted.
    """

    sampling_only: ClassVar[frozenset[str]] = frozenset({"sampler", "sampling_batch"})

    def __init__(
        self,
        spec: Spec,
        *,
        noising: Noising,
        sampler: Sampler | None,
        sampling_batch: int,
        lr: float,
        lr_schedule: str,
        weight_decay: float,
        warmup: float,
        ema_decay: float,
        loss: str = "mse",
    ) -> None:
        super().__init__()
        check_choice("model.loss", loss, get_args(Loss))
        check_choice("model.lr_schedule", lr_schedule, get_args(fitting.Decay))
        check_share("ema_decay", ema_decay)
        if sampling_batch < 1:
            raise UserError(f"model.sampling_batch is 1 or more; got {sampling_batch}")
        self.spec, self.noising, self.sampling_batch = spec, noising, sampling_batch
        self.lr, self.lr_schedule, self.weight_decay, self.warmup = lr, lr_schedule, weight_decay, warmup
        self.ema_decay = ema_decay
        self.sampler = sampler or Sampler()
        self.sampler.prepared(noising.config)
        self.norm = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.l1_loss

    @abstractmethod
    def condition(self, rows: Rows) -> Tensor:
        """What each row is conditioned on, (n, …) on the CPU."""

    @abstractmethod
    def embed(self, condition: Tensor) -> Tensor:
        """The condition as the network takes it: once per batch, however many steps are sampled with it."""

    @abstractmethod
    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """The network, of the shape of x."""

    def drop(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """The condition as it is trained on, where a family leaves it out now and then."""
        del generator
        return condition

    def denoiser(self, condition: Tensor) -> Denoiser:
        """(x_t, t) to the prediction that is sampled with."""
        embedded = self.embed(condition.to(self.device))
        return lambda x, t: self.predict(x, t, embedded)

    def begin(self, data: Samples, budget: Budget, seeds: Seeds) -> None:
        """Takes what is to be fitted to, and opens the stream of random numbers of the fit."""
        self._data, self._condition = data, self.condition(data)
        self._noise = seeds.child("noise").torch()
        self._steps = budget.steps

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self.begin(data, budget, seeds)
        self._ema = EMAModel(self.parameters(), decay=self.ema_decay, foreach=True)
        with seeds.child("dropout").scoped():
            fitting.fit(self, fitting.RandomRows(len(data), budget, seeds), budget, progress)
        self._ema.copy_to(self.parameters())

    def on_fit_start(self) -> None:
        self._ema.to(self.device)

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Row numbers stay on the CPU, where the rows are."""
        return batch

    def training_step(self, rows: Tensor) -> Tensor:
        return self.norm(*self._denoise(*self.draw(rows)))

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What one step trains on, on the CPU: x (n, …), its condition, times (n,) and noise of the shape of x."""
        x = as_float(self._data.data[rows])
        condition = self.drop(self._condition[rows], self._noise)
        t = self.noising.draw(len(rows), self._noise)
        return x, condition, t, torch.randn(x.shape, generator=self._noise)

    def _denoise(self, x: Tensor, condition: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target."""
        x, condition, t, noise = (each.to(self.device) for each in (x, condition, t, noise))
        target = self.noising.target(x, noise, t)
        return self.predict(self.noising.add_noise(x, noise, t), t, self.embed(condition)), target

    @torch.no_grad()
    def denoising_losses(self, samples: Samples, times: Tensor, noise: Tensor) -> Tensor:
        """The squared error of each row, condition kept, at `times` in [0, 1) of the process and with `noise` (n, …).

        Returns (n,) float32.
        """
        self.eval()
        condition, t = self.condition(samples), self.noising.at(times)
        losses = []
        for span in spans(len(samples), self.sampling_batch):
            x = as_float(samples.data[span])
            predicted, target = self._denoise(x, condition[span], t[span], noise[span])
            losses.append((predicted - target).square().flatten(1).mean(1).cpu())
        return torch.cat(losses)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self._ema.step(self.parameters())

    def configure_optimizers(self) -> Any:
        return self.optimization(self.parameters(), fitting.fused(self))

    def optimization(self, parameters: Iterable[Tensor], fused: bool) -> Any:
        """The optimiser of these parameters over the steps that `begin` was told of, as Lightning takes it."""
        optimizer = torch.optim.AdamW(
            parameters,
            self.lr,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.99),
            fused=fused,
        )
        return fitting.decayed(optimizer, self.lr_schedule, self.warmup, self._steps)

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """One image for each condition, quantised to uint8."""
        self.eval()
        generator, condition = seeds.torch(), self.condition(conditions)
        noise = torch.randn(len(conditions), *self.spec.shape, generator=generator)
        images = torch.cat(
            [
                self._sample_batch(noise[span], condition[span], generator, progress)
                for span in spans(len(conditions), self.sampling_batch)
            ]
        )
        return self.published(images, conditions)

    def published(self, images: Tensor, conditions: Conditions) -> Samples:
        """Images in [-1, 1] as samples.

        Raises:
            Diverged: one is not finite.
        """
        if not images.isfinite().all():
            raise Diverged(f"{int((~images.isfinite()).flatten(1).any(1).sum())} samples are not finite")
        return Samples(as_uint8(images), conditions.labels, conditions.captions)

    def _sample_batch(self, noise: Tensor, condition: Tensor, generator: torch.Generator, progress: Progress) -> Tensor:
        x = self.sampler.run(
            self.denoiser(condition),
            noise.to(self.device),
            self.noising.config,
            generator,
            lambda: progress.advance(len(noise)),
        )
        return x.cpu()

    def sampling_steps(self, n: int) -> int:
        """How often `sample` advances the progress for n conditions."""
        return n * len(self.sampler.prepared(self.noising.config).timesteps)

    def weights(self) -> Weights:
        return {name: value.detach().cpu() for name, value in self.state_dict().items()}

    def load(self, weights: Weights) -> None:
        self.load_state_dict(dict(weights))

    def start_from(self, pretrained: str | None) -> None:
        """Loads `model.pretrained`, a `tensors.safetensors` of the family (any fit in a store), where one is given."""
        if pretrained is not None:
            self.load(_read_weights(pretrained))


def check_share(name: str, value: float) -> None:
    """Refuses a share or a decay outside [0, 1)."""
    if not 0 <= value < 1:
        raise UserError(f"model.{name} lies in [0, 1); got {value}")


def _read_weights(path: str) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    file = Path(path) / "tensors.safetensors" if Path(path).is_dir() else Path(path)
    if file.suffix != ".safetensors" or not file.exists():
        raise UserError(f"model.pretrained is a .safetensors file, or a stage's folder that holds one; got {path}")
    return load_file(file)
