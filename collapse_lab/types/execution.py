"""How the work of a cell is executed: requests, and the executor that fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from collapse_lab.types.data import Conditions, Samples
from collapse_lab.types.family import Arithmetic, Budget, GenerativeModel, Progress

if TYPE_CHECKING:
    import numpy as np
    import torch

    from collapse_lab.seeds import Seeds


@runtime_checkable
class Allocate(Protocol):
    """Make room for samples: `torch.empty`, or room in a mapped file where they are many."""

    def __call__(self, shape: tuple[int, ...], /, *, dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor of this shape and type, whose numbers have no meaning yet."""
        ...


@dataclass(frozen=True)
class Checkpointing:
    """Say where a fit keeps its checkpoint, and how often it is written (`engine.checkpoint`).

    Attributes:
        path: the file; there is none before the first checkpoint.
        key: the key of the fit. The checkpoint of another fit is never used.
        minutes: the time between two checkpoints, above 0.
    """

    path: Path
    key: str
    minutes: float


@dataclass(frozen=True, eq=False)
class FitRequest:
    """Ask for the fit of a model that holds the weights it starts from.

    Attributes:
        model: the model, changed in place.
        identity: what the fit of the model depends on; equal for models that may be fitted as one program.
        data: the training set.
        budget: steps, batch size and precision.
        seeds: where the fit takes its random numbers from; they name the generation and the model.
        progress: told of every step.
        checkpoint: the checkpoint of the fit; None writes none. Families that do not go on from one leave it out, and
            so do fits that are executed together.
        row_weights: the weight of each row in the loss, (n,), of mean 1; None where all rows count the same.
    """

    model: GenerativeModel
    identity: Mapping[str, Any]
    data: Samples
    budget: Budget
    seeds: Seeds
    progress: Progress
    checkpoint: Checkpointing | None = None
    row_weights: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """Ask for samples of a fitted model.

    Attributes:
        model: the fitted model.
        identity: what the fit of the model depends on.
        sampling: the arguments that act on sampling alone.
        generation: the generation of the model; the seeds of a grid are those of generation 0.
        conditions: what to sample.
        seeds: where sampling takes its random numbers from.
        progress: told of every step.
        arithmetic: how a GPU computes (`engine.arithmetic.choose_arithmetic`).
        allocate: makes room for the samples of a family that takes it; None means memory.
    """

    model: GenerativeModel
    identity: Mapping[str, Any]
    sampling: Mapping[str, Any]
    generation: int
    conditions: Conditions
    seeds: Seeds
    progress: Progress
    arithmetic: Arithmetic = "exact"
    allocate: Allocate | None = None


class Executor(Protocol):
    """Execute the work of one cell: alone, or together with the work of other cells of a sweep."""

    def fit(self, request: FitRequest) -> None:
        """Fit a model in place.

        Raises:
            Diverged: the loss is no longer a finite number.
        """
        ...

    def sample(self, request: SampleRequest) -> Samples:
        """Return what a fitted model samples.

        Raises:
            Diverged: a sample is not finite.
        """
        ...

    def clock(self) -> float:
        """Return seconds of this cell's own work; only differences of two readings have a meaning."""
        ...

    def wait(self, attempt: Callable[[float], bool], work: str) -> None:
        """Return once an attempt has succeeded.

        Args:
            attempt: tries for so many seconds (a negative number: without end) and says whether it succeeded.
            work: what another process is computing meanwhile, as the user is told of it.
        """
        ...
