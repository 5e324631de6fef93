"""What all denoising models share: fitting, averaging of the weights, and sampling in batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.engine import lightning
from collapse_lab.engine.checkpoint import global_streams
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.errors import Diverged
from collapse_lab.models.looking import Choosing
from collapse_lab.nn.batches import Halving, given_or_usual
from collapse_lab.nn.latents import normal
from collapse_lab.nn.moments import continue_from, moments_of, parted
from collapse_lab.nn.noising import Noising
from collapse_lab.nn.optimisation import FINETUNING_ONLY, Optimisation
from collapse_lab.nn.pixels import Pixels, not_finite
from collapse_lab.nn.samplers import Denoiser, Sampler, Start
from collapse_lab.nn.selection import Selection
from collapse_lab.nn.spans import spans
from collapse_lab.nn.stored import read_weights
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    AUTO,
    Allocate,
    Batch,
    Budget,
    Captions,
    Checkpointing,
    Conditions,
    Progress,
    Rows,
    Samples,
    Spec,
    Weights,
)

Loss = Literal["mse", "mae"]


class LabelledRows(Protocol):
    """Hold what a model may be conditioned on: labels and captions, of samples or of what is to be sampled."""

    @property
    def labels(self) -> np.ndarray:
        """Return the labels (n,), -1 where a row has none."""
        ...

    @property
    def captions(self) -> Captions:
        """Return the n captions."""
        ...

    def __len__(self) -> int: ...


class Diffusion(Choosing):
    """min E ||target - prediction(x_t, t, condition)||, x_t and the target from `noising` (arXiv:2006.11239, eq. 14).

    A fit keeps the exponential moving average of the weights. Samples are drawn from that average, and a later
    generation starts from it. Moments of AdamW that `optimisation` keeps stand among the weights of a fit. A family
    builds its networks after this constructor, then calls `start_from`.

    Args:
        spec: The data set.
        family: The family's name in the configuration.
        noising: The forward process and the target.
        sampler: The reverse process; None means `Sampler()`.
        sampling_batch: How many images are sampled at a time; `auto` is `usual_batch` on a CPU and for a sampler that
            draws noise between its steps, and as many as the memory holds on a GPU (`unsigned_of`).
        optimisation: The settings of AdamW and of the moving average.
        pixels: How the network sees pixels and how samples are kept.
        loss: The norm above: `mse` or `mae`.
        selection: Which weights a fit keeps.

    Attributes:
        frozen: The parts of the network that a warm fit leaves as they are; a family with such parts sets them.

    Raises:
        UserError: the sampler does not fit what the network predicts; `optimisation` has no moving average.
    """

    sampling_only: ClassVar[frozenset[str]] = frozenset({"sampler", "sampling_batch"})
    usual_batch: ClassVar[int] = 64  # images at a time on a CPU
    finetuning_only: ClassVar[frozenset[str]] = FINETUNING_ONLY
    gathers: ClassVar[bool] = True
    allocates: ClassVar[bool] = True
    packs: ClassVar[bool] = True  # whether fits and samplings of several cells may run as one program
    resumes: ClassVar[bool] = True
    divides: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def __init__(
        self,
        spec: Spec,
        *,
        family: str,
        noising: Noising,
        sampler: Sampler | None,
        sampling_batch: Batch,
        optimisation: Optimisation,
        pixels: Pixels,
        loss: Loss = "mse",
        selection: Selection = Selection(),
    ) -> None:
        super().__init__(selection, optimisation)
        optimisation.require_average(family)
        self.spec, self.noising, self.sampling_batch, self.optimisation = spec, noising, sampling_batch, optimisation
        self.sampler, self.pixels = sampler or Sampler(), pixels
        self.sampler.prepared(noising.config)
        selection.sampler(self.sampler).prepared(noising.config)
        self.frozen: Sequence[torch.nn.Module] = ()
        self._moments: Weights = {}
        self.norm = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.l1_loss

    @classmethod
    def unsigned_of(cls, arguments: Mapping[str, Any]) -> frozenset[str]:
        """Return the arguments that change no image but by rounding, and so are no part of a key.

        The size of a batch is one of them, unless the sampler draws noise between its steps: then the noise of an image
        depends on those in its batch.

        Args:
            arguments: the arguments of a model, each node in the form of its identity.
        """
        batch = arguments.get("sampling_batch", AUTO)
        if batch in (AUTO, cls.usual_batch) or not cls.draws_between_steps(arguments):
            return frozenset({"sampling_batch"})
        return frozenset()

    @classmethod
    def draws_between_steps(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether the sampler of a model with these arguments draws noise between its steps."""
        sampler = arguments.get("sampler")
        return Sampler(**(sampler["arguments"] if sampler else {})).draws

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of what the network denoises for one row: that of the row, or of its latents."""
        return self.spec.shape

    @abstractmethod
    def condition(self, rows: LabelledRows) -> Rows:
        """Return what each row is conditioned on, (n, …) on the CPU."""

    def encoded(self, rows: Tensor) -> Tensor:
        """Return rows (n, …) as the network sees them."""
        return self.pixels.scaled(rows)

    def means(self, encoded: Tensor) -> Tensor:
        """Return rows as the network sees them, of what the family's encoder made of them."""
        return encoded

    def decoded(self, x: Tensor) -> Tensor:
        """Return the images of what the sampler leaves."""
        return x

    @abstractmethod
    def embed(self, condition: Tensor) -> Tensor:
        """Return the condition in the form that the network takes.

        It is computed once per batch, however many steps are sampled with it.
        """

    @abstractmethod
    def predict(self, x: Tensor, t: Tensor, embedded: Tensor) -> Tensor:
        """Return the network's prediction, of the shape of x."""

    def drop(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Return the condition (n, …) to train on; a family may leave out that of some rows."""
        del generator
        return condition

    def denoiser(self, condition: Tensor) -> Denoiser:
        """Return the map from (x_t, t) to the prediction that samples are drawn with."""
        embedded = self.embed(condition.to(self.device))
        return lambda x, t: self.predict(x, t, embedded)

    def begin(self, data: Samples[Rows], budget: Budget, seeds: Seeds) -> None:
        """Take the rows to fit, freeze what a warm fit leaves as it is, and open the fit's stream of random numbers."""
        self._data, self._condition, self._budget = data, self.condition(data), budget
        self._noise, self._mirror = seeds.child("noise").torch(), seeds.child("mirror").torch()
        self._optimiser: torch.optim.Optimizer | None = None
        for part in self.frozen:
            part.requires_grad_(not budget.warm)

    def fit(
        self,
        data: Samples[Rows],
        budget: Budget,
        seeds: Seeds,
        progress: Progress,
        checkpoint: Checkpointing | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Train the network, and keep the moving average of its weights.

        Where `weights` (n,) are given, rows are drawn by them (`RandomRows`). All else is as in `GenerativeModel.fit`.
        """
        self.begin(data, budget, seeds)
        self._average = self.optimisation.average(self.parameters())
        with seeds.child("dropout").scoped(budget.device):
            rows = RandomRows(len(data), budget, seeds, weights)
            lightning.fit(self, rows, budget, progress, self.watch(len(data), budget, seeds), checkpoint)
        self._average.copy_to(self.parameters())
        self.choose()
        del self._average
        if self._optimiser is not None:
            self._moments = moments_of(self._optimiser, self.named_parameters())
            self._optimiser = None
        self.end()

    def end(self) -> None:
        """Let go of the rows and of the streams that `begin` took."""
        del self._data, self._condition, self._noise, self._mirror

    def streams(self) -> dict[str, torch.Generator]:
        """Return the generators of noise, of mirrored rows, and of dropout."""
        return {**self.drawing_streams(), **global_streams(self._budget.device)}

    def drawing_streams(self) -> dict[str, torch.Generator]:
        """Return the generators of noise and of mirrored rows."""
        return {"noise": self._noise, "mirror": self._mirror}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the moving average of the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["average"] = self._average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the moving average of the weights."""
        super().on_load_checkpoint(checkpoint)
        self._average.load_state_dict(checkpoint["average"])

    def on_fit_start(self) -> None:
        """Move the average to the device of the fit, and take up the moments of the optimiser where they are kept."""
        self._average.to(self.device)
        if self.optimisation.finetune_state == "kept":
            self._optimiser = self.trainer.optimizers[0]
            if self._budget.warm:
                continue_from(self._moments, self._optimiser, self.named_parameters())

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of the rows with these numbers."""
        x, condition, t, noise = self.drawn(rows)
        return self.norm(*self._denoise(x, condition, t, noise))

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what one step trains on: x (n, …), its condition, times (n,), and noise of the shape of x.

        All of it is on the CPU.
        """
        x = self.pixels.seen(self._data.data[rows], self._mirror)
        condition = self.drop(self._condition[rows], self._noise)
        t = self.noising.draw(len(rows), self._noise)
        return x, condition, t, torch.randn(x.shape, generator=self._noise)

    def _denoise(self, x: Tensor, condition: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction and the target."""
        x, condition, t, noise = (tensor.to(self.device) for tensor in (x, condition, t, noise))
        target = self.noising.target(x, noise, t)
        return self.predict(self.noising.add_noise(x, noise, t), t, self.embed(condition)), target

    @torch.no_grad()
    def denoising_losses(self, samples: Samples[Rows], times: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of each row, with its condition.

        Args:
            samples: n rows.
            times: The times (n,) of the process, in [0, 1).
            noise: Standard normal noise (n, *noise_shape).

        Returns:
            The errors (n,), float32 and 0 or more.
        """
        self.eval()
        condition, t = self.condition(samples), self.noising.at(times)
        losses = []
        for span in spans(len(samples), given_or_usual(self.sampling_batch, self.usual_batch)):
            x = self.encoded(samples.data[span]) if samples.encoded is None else self.means(samples.encoded[span])
            predicted, target = self._denoise(x, condition[span], t[span], noise[span])
            losses.append((predicted - target).square().flatten(1).mean(1).cpu())
        return torch.cat(losses)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Add the weights of this step to the average, and look at it where it is time."""
        if (step := lightning.ended(self.trainer, batch_idx)) is not None:
            self._average.step(self.parameters())
            self.consider(step)

    def configure_optimizers(self) -> Any:
        """Return the optimiser of this module's parameters, in the form that Lightning takes."""
        return self.optimiser_of(self.parameters(), lightning.fused(self))

    def optimiser_of(self, parameters: Iterable[Tensor], fused: bool) -> Any:
        """Return the optimiser of some parameters, for the budget that `begin` took.

        Args:
            parameters: The parameters to train.
            fused: Whether AdamW takes its fused step.

        Returns:
            The dictionary that `configure_optimizers` returns.
        """
        return self.optimisation.adamw(parameters, self._budget, betas=(0.9, 0.99), fused=fused)

    @torch.no_grad()
    def sample(
        self, conditions: Conditions, seeds: Seeds, progress: Progress, allocate: Allocate = torch.empty
    ) -> Samples:
        """Return one image for each condition, in the form that `pixels` says.

        Raises:
            Diverged: an image is not finite.
        """
        self.eval()
        n, condition, shape = len(conditions), self.condition(conditions), self.spec.shape
        later = seeds.torch()  # of what is drawn between the steps, which comes after the noise of all images
        halving = Halving(self.sampling_batch, self.usual_batch, self.device, divides=not self.sampler.draws)
        for _ in normal(n, self.noise_shape, halving.rows, later):
            pass
        images, bad = torch.empty(0), 0
        noises = normal(n, self.noise_shape, halving.rows, seeds.torch())
        for span, noise in zip(spans(n, halving.rows), noises, strict=True):

            def part(rows: slice, first: int = span.start, noise: Tensor = noise) -> Float[Tensor, "rows ..."]:
                own, start = noise[rows.start - first : rows.stop - first], self.start_of(conditions, rows)
                return self._sample_batch(own, condition[rows], later, progress, start)

            batch = halving.compute(span, part)
            bad += not_finite(batch)
            if not bad:
                rows = self.pixels.published(batch)
                images = images if len(images) else allocate((n, *shape), dtype=rows.dtype)
                images[span] = rows
        if bad:
            raise Diverged(f"{bad} samples are not finite")
        return Samples(images, conditions.labels, conditions.captions)

    def published(self, images: Tensor, conditions: Conditions) -> Samples:
        """Return images in the network's range as samples with their conditions.

        Raises:
            Diverged: an image is not finite.
        """
        if bad := not_finite(images):
            raise Diverged(f"{bad} samples are not finite")
        return Samples(self.pixels.published(images), conditions.labels, conditions.captions)

    def start_of(self, conditions: Conditions, span: slice) -> Start | None:
        """Return what the samples of some conditions start from, None for noise alone."""
        del conditions, span
        return None

    def _sample_batch(
        self, noise: Tensor, condition: Tensor, generator: torch.Generator, progress: Progress, start: Start | None
    ) -> Tensor:
        x = self.sampler.run(
            self.denoiser(condition),
            noise.to(self.device),
            self.noising.config,
            generator,
            lambda: progress.advance(len(noise)),
            start,
        )
        return self.decoded(x).cpu()

    def sampling_steps(self, n: int) -> int:
        """Return how often `sample` advances the progress for n conditions."""
        return n * len(self.sampler.prepared(self.noising.config).timesteps)

    def weights(self) -> Weights:
        """Return the parameters and buffers by name, on the CPU, and the moments of the optimiser if they are kept."""
        return {name: value.detach().cpu() for name, value in self.state_dict().items()} | dict(self._moments)

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        own, moments = parted(weights)
        self.load_state_dict(own)
        self._moments = moments if self.optimisation.finetune_state == "kept" else {}

    def start_from(self, pretrained: str | None) -> None:
        """Load the weights of a file, if one is given.

        Args:
            pretrained: A `tensors.safetensors` of this family (any fit in a store), the folder that holds it, or None.

        Raises:
            UserError: there is no such file.
        """
        if pretrained is not None:
            self.load(read_weights(pretrained))
