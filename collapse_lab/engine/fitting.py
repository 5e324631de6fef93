"""Say how long and how a model is fitted, and in which order it reads its rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import LARGEST, Arithmetic, Budget, Count, Natural, Positive

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Training:
    """Say how long and how a model is fitted: the `trainer` group.

    Args:
        steps: optimiser steps of a fit from fresh (or pretrained) weights.
        batch_size: rows of a step.
        finetune_steps: steps of a fit that starts from an earlier generation's weights; None means `steps`.
        epochs: how often every fit sees each row of its training set. Where it is given, it replaces both numbers of
            steps.
        precision: as Lightning names it: of weights in float32, and of products in float32 (`32-true`) or in fewer
            bits (`bf16-mixed`, and on a GPU `16-mixed`). The families read no weights of another type.
        gradient_clip: the norm that gradients are clipped to, None for no clipping.
        arithmetic: how a GPU computes in float32. `exact` is float32 with all its bits, and the same bits each time;
            `fast` rounds the factors of products to TF32 and takes the fastest kernels.
        pack: how many cells of a sweep are fitted and sampled as one program. Results do not depend on it.
        checkpoint_minutes: the time between two checkpoints of a fit, None for none at all. A fit that was stopped goes
            on from its last checkpoint: on a CPU its weights are those of a fit that was not stopped, bit for bit.
            There is one more checkpoint where SIGTERM, SIGINT or SIGUSR2 stops the fit, so that SIGKILL alone costs
            steps. Results do not depend on it. Cells that are fitted as one program (`pack`) have no checkpoints, and
            neither has the time of a fit: its seconds in the ledger count from its last start.
        accumulate: parts that the rows of a step are computed in, one after the other, which takes less memory; 1
            computes them together. They divide `batch_size`. The gradient of a step is the mean over its parts, so for
            a family that draws no random numbers the parts change rounding alone.
        devices: GPUs that one fit takes: each computes an equal share of the rows of a step, or of each of its parts,
            in a process of its own, and holds the whole model. The batches, noise included, are those of one process,
            so the number changes rounding alone, and dropout where a family has any. They divide
            `batch_size` / `accumulate`. On a CPU they are processes of this machine, for tests. Sampling and
            measurements take one GPU.
    """

    steps: Natural
    batch_size: Count
    finetune_steps: Natural | None = None
    epochs: Positive | None = None
    precision: Precision = "32-true"
    gradient_clip: Positive | None = 1.0
    arithmetic: Arithmetic = "exact"
    pack: Count = 1
    checkpoint_minutes: Positive | None = 10.0
    accumulate: Count = 1
    devices: Count = 1

    def budget(self, warm: bool, rows: int, device: str) -> Budget:
        """Return the budget of one fit.

        Args:
            warm: whether the fit starts from an earlier generation's weights.
            rows: the size of the training set.
            device: cpu or cuda.

        Raises:
            UserError: the device does not have the precision, the epochs are too many steps, there are fewer GPUs than
                are asked for, or the rows of a step cannot be divided into the parts and shares that are asked for.
        """
        if self.devices > 1:
            self._check_devices(device)
        elif self.batch_size % self.accumulate:
            raise UserError(
                f"trainer.accumulate={self.accumulate} divides the rows of a step into equal parts, and "
                f"trainer.batch_size={self.batch_size} cannot be divided by it; give batch_size="
                f"{self.accumulate * math.ceil(self.batch_size / self.accumulate)}, or another accumulate"
            )
        if self.precision == "16-mixed" and device == "cpu":
            raise UserError(
                "trainer.precision=16-mixed needs a GPU, because on a CPU Lightning computes in bf16-mixed instead; "
                "give trainer.precision=bf16-mixed or 32-true"
            )
        steps = self.finetune_steps if warm and self.finetune_steps is not None else self.steps
        if self.epochs is not None:
            steps = math.ceil(self.epochs * rows / self.batch_size)
        if steps > LARGEST:
            raise UserError(
                f"trainer.epochs={self.epochs} over {rows} rows is {steps:.3g} steps of a fit, and {LARGEST} are the "
                "most; lower trainer.epochs"
            )
        how = self.precision, self.gradient_clip, device, warm, rows, self.arithmetic, self.accumulate, self.devices
        return Budget(steps, self.batch_size, *how)

    def _check_devices(self, device: str) -> None:
        """Refuse more GPUs than there are, and rows of a step that cannot be divided over them."""
        present = torch.cuda.device_count()
        if device == "cuda" and self.devices > present:
            raise UserError(
                f"trainer.devices={self.devices} asks for more GPUs than this process may compute on, which are "
                f"{present}; give trainer.devices={max(1, present)}, or lend it more (CUDA_VISIBLE_DEVICES; on SLURM "
                "hydra.launcher.gpus_per_node)"
            )
        shares = self.devices * self.accumulate
        if self.batch_size % shares:
            parts = f"each of the {self.accumulate} parts (trainer.accumulate) of " if self.accumulate > 1 else ""
            raise UserError(
                f"trainer.devices={self.devices} divides the rows of {parts}a step into equal shares, and "
                f"trainer.batch_size={self.batch_size} cannot be divided by {shares}; give trainer.batch_size="
                f"{shares * max(1, round(self.batch_size / shares))}, or another trainer.devices"
            )


class RandomRows:
    """Draw batches of row numbers: one random permutation after another, cut into `steps` batches without remainder.

    An epoch boundary may fall inside a batch, so that every batch is full, however small the training set.

    With weights c, each row of a batch is drawn for itself, row i with the probability c_i / Σ c. The expected loss of
    a batch is then Σ c_i loss_i / Σ c, so that a source has its share without any rounding to whole rows.

    Args:
        n: the size of the training set.
        budget: the number of batches, and of rows in a batch.
        seeds: the place of the fit.
        weights: the weight of each row, (n,), at least 0 and of a positive sum; None where all rows count the same.
    """

    def __init__(self, n: int, budget: Budget, seeds: Seeds, weights: np.ndarray | None = None) -> None:
        self._n, self._budget, self._seeds, self._weights = n, budget, seeds, weights

    def __len__(self) -> int:
        return self._budget.steps

    def __iter__(self) -> Iterator[torch.Tensor]:
        generator = self._seeds.child("order").torch()
        return self._permuted(generator) if self._weights is None else self._weighted(self._weights, generator)

    def _weighted(self, weights: np.ndarray, generator: torch.Generator) -> Iterator[torch.Tensor]:
        ends = torch.from_numpy(weights).double().cumsum(0)
        for _ in range(self._budget.steps):
            places = torch.rand(self._budget.batch_size, generator=generator, dtype=torch.float64) * ends[-1]
            # clamped because a product may be rounded up to the sum of all weights, which is no row's
            yield torch.searchsorted(ends, places, right=True).clamp_max(self._n - 1)

    def _permuted(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        rows = torch.empty(0, dtype=torch.int64)
        for _ in range(self._budget.steps):
            while len(rows) < self._budget.batch_size:
                rows = torch.cat([rows, torch.randperm(self._n, generator=generator)])
            yield rows[: self._budget.batch_size]
            rows = rows[self._budget.batch_size :]


class Parts:
    """Yield the parts of each batch, one after the other.

    Args:
        batches: tensors (rows, …); the number of parts divides their rows.
        number: parts of a batch, 1 or more.
    """

    def __init__(self, batches: Iterable[torch.Tensor], number: int) -> None:
        self._batches, self._number = batches, number

    def __len__(self) -> int:
        return self._number * len(self._batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (part for batch in self._batches for part in batch.chunk(self._number))
