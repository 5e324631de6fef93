"""What the classical families share: many independent chains, fitted side by side by the family's own algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Conditions, Count, Progress, Samples, Spec, Weights

BLOCK = 2**16  # numbers that are processed at a time


class Replicated(torch.nn.Module, ABC):
    """Hold R independent chains of one family.

    Fitted tensors have R as their first axis, and rows (n, R, d) have R as their second. A fit is one call of the
    family's own algorithm, and the number of steps in the budget has no effect. There are no gradients, so these
    families are plain modules of torch: a Lightning Trainer would cost more than the fit, in each of thousands of
    generations, and the import of Lightning takes longer than many a run. Everything stays on the CPU, where the noise
    is drawn and where the rows are.

    Args:
        spec: The data set, of points (R, d).
        replicas: The number of independent chains, R.

    Attributes:
        replicas: R.
        dimension: d.
        generation: The generation of the fit, int64.

    Raises:
        UserError: the data set holds no points, or another number of replicas.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset()
    generation: Tensor

    def __init__(self, spec: Spec, replicas: Count) -> None:
        super().__init__()
        name = type(self).__name__
        if spec.modality != "points":
            raise UserError(
                f"{name} is fitted to points, and this data set holds samples of modality '{spec.modality}'; give "
                "dataset=normal, mixture, categories or regression"
            )
        if spec.shape[0] != replicas:
            raise UserError(
                f"model.replicas={replicas} and the data set has rows for {spec.shape[0]}; leave dataset.replicas "
                "out, it follows model.replicas"
            )
        self.replicas, self.dimension = spec.shape
        self.register_buffer("generation", torch.zeros((), dtype=torch.int64))

    @property
    def least_rows(self) -> int:
        """Return the smallest training set that the family is fitted to."""
        return 1

    @abstractmethod
    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the fitted tensors by name.

        Args:
            rows: The training set (n, R, d), float64.
            seeds: The place of the fit in the tree of seeds.

        Raises:
            UserError: there are too few rows, or the family does not take such rows.
            Diverged: no chain has a fit.
        """

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n draws of each fitted chain, (n, R, d)."""

    @torch.no_grad()
    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        """Fit all chains in one step."""
        for name, value in self.estimate(data.data.double(), seeds).items():
            self.register_buffer(name, value)
        self.register_buffer("generation", torch.tensor(seeds.generation))
        progress.advance(budget.steps)

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """Return one row (R, d) for each condition; rows do not depend on the conditions."""
        drawn = self.draw(len(conditions), seeds.torch())
        progress.advance(self.sampling_steps(len(conditions)))
        return Samples(drawn, conditions.labels, conditions.captions)

    def sampling_steps(self, n: int) -> int:
        """Return how often `sample` advances the progress for n conditions: once."""
        return 1

    def weights(self) -> Weights:
        """Return the fitted tensors by name."""
        return dict(self.named_buffers())

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        for name, value in weights.items():
            self.register_buffer(name, value)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return this model, which stays on the CPU."""
        return self

    def needs_rows(self, n: int) -> None:
        """Refuse fewer rows than a fit takes.

        Args:
            n: The number of rows.

        Raises:
            UserError: n is below `least_rows`.
        """
        if n < self.least_rows:
            raise UserError(
                f"{type(self).__name__} is fitted to {self.least_rows} rows or more here; got {n}: raise n_train"
            )


def blocks(rows: Tensor) -> tuple[Tensor, ...]:
    """Return rows (n, …) as consecutive blocks, each small enough to stay in a core's cache."""
    return torch.split(rows, max(1, BLOCK // max(1, rows[0].numel())))


def normal_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard normal draws of a shape, with 24 random bits each, in float64.

    They are drawn as float32, which is five times as fast on a CPU. Only their sums with a mean and their moments need
    float64.
    """
    noise = torch.empty(shape, dtype=torch.float64)
    for block in blocks(noise):
        block.copy_(torch.randn(block.shape, generator=generator))
    return noise
