"""Fit a module by one fresh Lightning Trainer: progress, divergence, checkpoints, signals."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from collapse_lab.engine.ahead import drawing_ahead
from collapse_lab.engine.checkpoint import Checkpoint, Resumable
from collapse_lab.engine.fitting import Parts
from collapse_lab.engine.glances import glance_at, tell
from collapse_lab.engine.ranks import Ranks
from collapse_lab.errors import Diverged, UserError
from collapse_lab.memory import gpu_too_small
from collapse_lab.types import Budget, Checkpointing, Glance, Progress

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

LOOK_EVERY = 25  # because reading the loss waits for the device


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
            loss = trainer.strategy.reduce(outputs["loss"].clone(), reduce_op="mean")  # over the processes of the fit
            outputs = {**outputs, "loss": loss}
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
        UserError: the memory of the GPU is too small for the rows of a step.
        KeyboardInterrupt: the user pressed Ctrl-C, or the process was asked to end by SIGTERM. Lightning by itself
            takes both for a graceful end.
    """
    if budget.steps == 0:
        return
    callbacks: list[pl.Callback] = [watch(progress)]
    ranks = Ranks.of(budget)
    ranks.part_streams(budget.device)
    # Because Lightning would otherwise find SLURM by itself, and requeue the job beside submitit
    plugins: list[Any] = [ranks.environment]
    listening: AbstractContextManager[None] = nullcontext()
    begins_at = None
    if budget.accumulate > 1:
        rows = Parts(rows, budget.accumulate)
    if checkpoint is not None:
        assert isinstance(module, Resumable)
        kept = Checkpoint(checkpoint, module, budget, ranks)
        callbacks.append(kept)
        plugins.append(kept.files)
        rows, listening, begins_at = kept.rest_of(rows), kept.listening(), kept.path
        if kept.done:
            progress.advance(kept.done // budget.accumulate)
    trainer = _trainer(budget, ranks, callbacks, plugins)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings(), listening, drawing_ahead(module, rows, budget.device) as batches:
            warnings.simplefilter("ignore")
            trainer.fit(module, train_dataloaders=batches, ckpt_path=begins_at)
    except SystemExit as end:
        if not isinstance(end, SIGTERMException) and not isinstance(end.__context__, KeyboardInterrupt):
            raise  # because the handler of a signal ends the process in its own way
        # Because Lightning ignores Ctrl-C from here on, and leaves with the exit code of a failure
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from end
    except torch.OutOfMemoryError as error:
        raise _too_large(budget) from error
    finally:
        # Because trainer, module and the trainer's parts refer to each other, weights, moments and rows would stay in
        # memory until Python's collector happens to run
        module.trainer = None
        vars(trainer).clear()


def _trainer(budget: Budget, ranks: Ranks, callbacks: list[pl.Callback], plugins: list[Any]) -> pl.Trainer:
    """Return a fresh Trainer that writes and prints nothing by itself."""
    return pl.Trainer(
        max_steps=budget.steps,
        accelerator="gpu" if budget.device == "cuda" else "cpu",
        devices=ranks.number,
        strategy=ranks.strategy,
        use_distributed_sampler=False,  # because every process walks through all batches, and takes its share
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


def _too_large(budget: Budget) -> UserError:
    """Return the error of a step whose rows do not fit into the memory of the GPU."""
    together = budget.batch_size // (budget.accumulate * budget.devices)
    return gpu_too_small(
        f"fit {together} rows at a time",
        "raise trainer.accumulate, which divides the rows of a step into parts, or lower trainer.batch_size; large "
        "pipelines take model.gradient_checkpointing=true",
    )


def fused(module: pl.LightningModule) -> bool:
    """Return whether an optimiser of the module takes its fused step: on a GPU, and on a CPU in full precision.

    The fused step is faster. On a GPU it is one kernel in the place of several for each parameter.
    """
    return module.device.type != "cpu" or module.trainer.precision == "32-true"
