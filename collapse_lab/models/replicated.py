"""What the classical families share: many independent chains, fitted side by side by an algorithm of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pytorch_lightning as pl
import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.types import Budget, Conditions, Progress, Samples, Spec, Weights

BLOCK = 2**16  # numbers


class Replicated(pl.LightningModule, ABC):
    """R independent chains of one family: what is fitted has R as its first axis, rows (n, R, d) as their second.

    A fit is one training step under manual optimisation, whatever the budget says. `fit` takes that step itself
    instead of building a Trainer for it, which costs more than the fit, in each of thousands of generations. All of
    it is on the CPU, where the noise is drawn and where the rows are.

    Raises:
        UserError: data that are no points, or of another number of replicas.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset()
    generation: Tensor

    def __init__(self, spec: Spec, replicas: int) -> None:
        super().__init__()
        name = type(self).__name__
        if spec.modality != "points":
            raise UserError(
                f"{name} is fitted to points, and this data set holds samples of modality '{spec.modality}'; give "
                "dataset=normal, mixture, categories or regression"
            )
        if replicas < 1:
            raise UserError(f"model.replicas is the number of independent chains, 1 or more; got {replicas}")
        if spec.shape[0] != replicas:
            raise UserError(
                f"model.replicas={replicas} and the data set has rows for {spec.shape[0]}; leave dataset.replicas out, "
                "it follows the model's"
            )
        self.automatic_optimization = False
        self.replicas, self.dimension = spec.shape
        self._seeds = Seeds(0, 0, "model", "fit")
        self.register_buffer("generation", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """What is fitted to rows (n, R, d), by name.

        Raises:
            UserError: too few rows, or rows that the family does not take.
            Diverged: no chain has a fit.
        """

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, R, d) draws of what is fitted."""

    def training_step(self, rows: Tensor) -> None:
        for name, value in self.estimate(rows, self._seeds).items():
            self.register_buffer(name, value)

    def configure_optimizers(self) -> None:
        """None: an algorithm of its own."""

    @torch.no_grad()
    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self._seeds = seeds
        self.training_step(data.data.double())
        self.register_buffer("generation", torch.tensor(seeds.generation))
        progress.advance(budget.steps)

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        drawn = self.draw(len(conditions), seeds.torch())
        progress.advance(self.sampling_steps(len(conditions)))
        return Samples(drawn, conditions.labels, conditions.captions)

    def sampling_steps(self, n: int) -> int:
        """How often `sample` advances the progress for n conditions: once."""
        return 1

    def weights(self) -> Weights:
        return dict(self.named_buffers())

    def load(self, weights: Weights) -> None:
        for name, value in weights.items():
            self.register_buffer(name, value)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Itself: it stays on the CPU."""
        return self

    def needs_rows(self, n: int, least: int) -> None:
        """Refuses fewer rows than a fit takes."""
        if n < least:
            raise UserError(f"{type(self).__name__} is fitted to {least} rows or more here; got {n}: raise n_train")


def blocks(rows: Tensor) -> tuple[Tensor, ...]:
    """Some rows at a time, few enough to stay in a core's cache."""
    return torch.split(rows, max(1, BLOCK // max(1, rows[0].numel())))


def normal_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal draws, of 24 random bits each, in float64.

    Drawn as float32, five times as fast on a CPU: it is their sums with a mean and their moments that need more.
    """
    noise = torch.empty(shape, dtype=torch.float64)
    for block in blocks(noise):
        block.copy_(torch.randn(block.shape, generator=generator))
    return noise
