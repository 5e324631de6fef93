"""Fit a module by one fresh Lightning Trainer: budget, precision, progress, divergence."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from collapse_lab.engine.checkpoint import Checkpoint, Resumable
from collapse_lab.engine.glances import glance_at, tell
from collapse_lab.errors import Diverged, UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import LARGEST, Arithmetic, Budget, Checkpointing, Count, Glance, Natural, Positive, Progress

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

LOOK_EVERY = 25  # because reading the loss waits for the device


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

    def budget(self, warm: bool, rows: int, device: str) -> Budget:
        """Return the budget of one fit.

        Args:
            warm: whether the fit starts from an earlier generation's weights.
            rows: the size of the training set.
            device: cpu or cuda.

        Raises:
            UserError: the device does not have the precision, the epochs are too many steps, or the rows of a step
                cannot be divided into the parts that are asked for.
        """
        if self.batch_size % self.accumulate:
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
        how = self.precision, self.gradient_clip, device, warm, rows, self.arithmetic, self.accumulate
        return Budget(steps, self.batch_size, *how)


class RandomRows:
    """Draw batches of row numbers: one random permutation after another, cut into `steps` batches without remainder.

    An epoch boundary may fall inside a batch, so that every batch is full, however small the training set.
    """

    def __init__(self, n: int, budget: Budget, seeds: Seeds) -> None:
        self._n, self._budget, self._seeds = n, budget, seeds

    def __len__(self) -> int:
        return self._budget.steps

    def __iter__(self) -> Iterator[torch.Tensor]:
        generator = self._seeds.child("order").torch()
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


def ended(trainer: pl.Trainer, batch_idx: int) -> int | None:
    """Return the number of the step that a batch ends, the first one being 1; None where more parts follow."""
    step, more = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
    return None if more else step


class Watch(pl.Callback):
    """Report steps, and stop a fit whose loss is not a number.

    The loss of a diffusion model or a classifier that learns at all never leaves [0, `bound`].
    """

    def __init__(self, progress: Progress, bound: float = 1e6) -> None:
        self._progress, self._bound = progress, bound

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the optimisers do not scale gradients by themselves."""
        for optimiser in trainer.optimizers:
            # Because Lightning refuses to clip gradients in mixed precision where a fused optimiser could scale them.
            # Without this mark Lightning's plug-in scales them before they are clipped, for every optimiser alike
            optimiser._step_supports_amp_scaling = False  # type: ignore[attr-defined]

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let go of the optimisers, because Lightning would copy their moments from the GPU only to drop them."""
        trainer.strategy.optimizers = []

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the step, and check its loss every `LOOK_EVERY` steps and after the last one."""
        step = ended(trainer, batch_idx)
        if step is None:
            return
        self._progress.advance()
        if (step - 1) % LOOK_EVERY == 0 or step == trainer.max_steps:
            self.look(outputs, step - 1)
            self.show(outputs, glance_at(trainer, pl_module, batch, step, float(outputs["loss"])))

    def look(self, outputs: Any, step: int) -> None:
        """Check the loss of a step.

        Raises:
            Diverged: the loss is not finite, or beyond the bound.
        """
        diverged = self.judge(float(outputs["loss"]), step)
        if diverged is not None:
            raise diverged

    def show(self, outputs: Any, glance: Glance) -> None:
        """Tell the progress what is seen of the fit."""
        tell(self._progress, glance)

    def judge(self, loss: float, step: int) -> Diverged | None:
        """Return what is wrong with a loss, None for a sound one."""
        if math.isfinite(loss) and abs(loss) <= self._bound:
            return None
        return Diverged(f"the loss was {loss} at step {step}")


def fit(
    module: pl.LightningModule,
    rows: Iterable[Any],
    budget: Budget,
    progress: Progress,
    watch: Callable[[Progress], Watch] = Watch,
    checkpoint: Checkpointing | None = None,
) -> None:
    """Run the module's training_step over the batches of row numbers, from the fit's checkpoint on if there is one.

    Args:
        module: what is fitted; a `Resumable` where there is a checkpoint.
        rows: one batch for each step. It gives the same batches whenever it is iterated over.
        budget: steps and precision.
        progress: told of every step, and at once of those that are not computed again.
        watch: makes what looks after each step.
        checkpoint: where and how often the fit is checkpointed; None writes no checkpoint.

    Raises:
        Diverged: the loss is not finite.
        KeyboardInterrupt: the user pressed Ctrl-C, or the process was asked to end by SIGTERM. Lightning by itself
            takes both for a graceful end.
    """
    if budget.steps == 0:
        return
    callbacks: list[pl.Callback] = [watch(progress)]
    # Because Lightning would otherwise find SLURM by itself, and requeue the job beside submitit
    plugins: list[Any] = [LightningEnvironment()]
    listening: AbstractContextManager[None] = nullcontext()
    begins_at = None
    if budget.accumulate > 1:
        rows = Parts(rows, budget.accumulate)
    if checkpoint is not None:
        assert isinstance(module, Resumable)
        kept = Checkpoint(checkpoint, module, budget)
        callbacks.append(kept)
        plugins.append(kept.files)
        rows, listening, begins_at = kept.rest_of(rows), kept.listening(), kept.path
        if kept.done:
            progress.advance(kept.done // budget.accumulate)
    trainer = pl.Trainer(
        max_steps=budget.steps,
        accelerator="gpu" if budget.device == "cuda" else "cpu",
        devices=1,
        precision=budget.precision,  # type: ignore[arg-type]
        gradient_clip_val=budget.gradient_clip,
        accumulate_grad_batches=budget.accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        plugins=plugins,
    )
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings(), listening:
            warnings.simplefilter("ignore")
            trainer.fit(module, train_dataloaders=rows, ckpt_path=begins_at)
    except SystemExit as end:
        if not isinstance(end, SIGTERMException) and not isinstance(end.__context__, KeyboardInterrupt):
            raise  # because the handler of a signal ends the process in its own way
        # Because Lightning ignores Ctrl-C from here on, and leaves with the exit code of a failure
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from end
    finally:
        # Because trainer, module and the trainer's parts refer to each other, weights, moments and rows would stay in
        # memory until Python's collector happens to run
        module.trainer = None
        vars(trainer).clear()


def fused(module: pl.LightningModule) -> bool:
    """Return whether an optimiser of the module takes its fused step: on a GPU, and on a CPU in full precision.

    The fused step is faster. On a GPU it is one kernel in the place of several for each parameter.
    """
    return module.device.type != "cpu" or module.trainer.precision == "32-true"
