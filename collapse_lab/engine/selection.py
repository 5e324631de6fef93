"""Choose the weights of a fit: those at which a loss on validation rows was smallest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from collapse_lab.engine.lightning import Watch, ended
from collapse_lab.errors import Diverged
from collapse_lab.types import Budget, Progress, Weights


@dataclass(frozen=True)
class Times:
    """Say after which steps of a fit the validation rows are looked at.

    Attributes:
        every: the number of steps between two looks; None looks whenever every row has been seen once more.
        rows: the size of the training set.
        budget: the steps of the fit and the rows of a step.
    """

    every: int | None
    rows: int
    budget: Budget

    def due(self, step: int) -> bool:
        """Return whether there is a look after this step, the first one being 1; there is one after the last step."""
        if step == self.budget.steps:
            return True
        if self.every is not None:
            return step % self.every == 0
        seen = step * self.budget.batch_size
        return seen // self.rows > (seen - self.budget.batch_size) // self.rows


class Best(Watch):
    """Report steps like `Watch`, and keep a copy of the weights with the smallest validation loss.

    Of equal losses the first counts. Weights before the first step are no candidate, as in arXiv:2305.17493's code,
    which looks at the end of each epoch.

    Args:
        progress: told of every step.
        times: when to look.
        loss: returns the loss on the validation rows. It leaves every random stream as it was, so that the fit stays
            the same.
        weights: returns the present weights.

    Attributes:
        looks: the step and the validation loss of each look so far.
    """

    def __init__(
        self, progress: Progress, times: Times, loss: Callable[[], float], weights: Callable[[], Weights]
    ) -> None:
        super().__init__(progress)
        self._times, self._loss, self._weights = times, loss, weights
        self._smallest = math.inf
        self._kept: dict[str, Tensor] | None = None
        self.looks: list[tuple[int, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count the step, check its loss, and look at the validation rows where it is time."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        step = ended(trainer, batch_idx)
        if step is not None:
            self.consider(step)

    def consider(self, step: int) -> None:
        """Look at the validation rows after a step, where it is time."""
        if not self._times.due(step):
            return
        loss = self._loss()
        self.looks.append((step, loss))
        if loss < self._smallest:
            self._smallest = loss
            self._kept = {name: value.clone() for name, value in self._weights().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the best weights so far, their loss and all looks, as a checkpoint of the fit holds them."""
        return {"smallest": self._smallest, "kept": self._kept, "looks": self.looks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._smallest, self._kept = state_dict["smallest"], state_dict["kept"]
        looks = state_dict.get("looks", [])  # there are none in checkpoints of earlier releases
        self.looks = [(int(step), float(loss)) for step, loss in looks]

    @property
    def kept(self) -> Weights:
        """Return the weights with the smallest validation loss.

        Raises:
            Diverged: no validation loss was a finite number.
        """
        if self._kept is None:
            raise Diverged("no loss on the validation rows was a finite number")
        return self._kept


class BestAverage(Best):
    """Keep the best moving average of the weights.

    The module calls `consider` itself, after it has added the weights of a step to the average: Lightning calls its
    callbacks before.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count the step, and check its loss."""
        Watch.on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx)
