"""Write checkpoints of a fit while it runs, so that a fit that was stopped goes on at its step, bit for bit on a CPU.

A checkpoint holds what Lightning saves of a fit (weights, optimiser, schedule, scaler of gradients, position), what a
family adds (its random streams, its moving average), and what the watch of the fit adds (the best weights so far). The
batches of row numbers come from the seeds of the fit, so those that were trained on are drawn again and left out.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError

from collapse_lab.engine.ranks import Ranks
from collapse_lab.engine.signals import Signals
from collapse_lab.storage.snapshots import UnusableSnapshot, read_snapshot, remove_snapshot, write_snapshot
from collapse_lab.types import Budget, Checkpointing

log = logging.getLogger(__name__)

# What is ours among the entries of Lightning's checkpoint; the last one where several processes compute the fit
BATCHES, STREAMS, STREAMS_OF_ALL = "batches", "streams", "streams of all processes"


class Resumable(pl.LightningModule, ABC):
    """Be a module whose fit can go on from a checkpoint.

    A family that keeps more than weights and random streams from step to step extends `on_save_checkpoint` and
    `on_load_checkpoint`. Dictionaries, lists, tuples, tensors, numbers and texts can be saved.
    """

    @abstractmethod
    def streams(self) -> Mapping[str, torch.Generator]:
        """Return by name every generator that a step draws random numbers from."""

    def states(self) -> dict[str, torch.Tensor]:
        """Return the states of the random streams after the present step."""
        return states_of(self.streams())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the states of the random streams."""
        checkpoint[STREAMS] = self.states()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the states of the random streams."""
        for name, stream in self.streams().items():
            stream.set_state(checkpoint[STREAMS][name])


def states_of(streams: Mapping[str, torch.Generator]) -> dict[str, torch.Tensor]:
    """Return the states of generators by their names."""
    return {name: stream.get_state() for name, stream in streams.items()}


def global_streams(device: str) -> dict[str, torch.Generator]:
    """Return torch's global generators, which a fit inside `Seeds.scoped` draws from.

    Args:
        device: cpu, or cuda where the fit draws on the present GPU too.
    """
    streams = {"cpu": torch.default_generator}
    if device == "cuda":
        streams["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
    return streams


class Checkpoint(pl.Callback):
    """Write the checkpoint of one fit: every so many minutes, and where a signal asks the process to end.

    SIGTERM, SIGINT and SIGUSR2 wait until the present step has ended and the checkpoint is written. Then they do what
    they did before: SIGINT and SIGTERM end the fit by KeyboardInterrupt, and a handler that was there is called. A fit
    whose handler returns goes on. A second SIGINT does not wait. Signals reach the main thread alone, so a fit in
    another thread has the checkpoints of the clock alone.

    A checkpoint that cannot be written costs no fit: the fit goes on, and the log says so.

    Where several processes compute the fit, each of them has this callback. The first one says when a checkpoint is
    written and writes it, and all of them read it.

    Args:
        place: where the checkpoint lies, whose it is, and how often it is written.
        module: the module, as it is before the fit.
        budget: the budget of the fit.
        ranks: the processes that compute the fit.

    Attributes:
        done: how many batches the fit has trained on already; 0 where it begins.
        files: what Lightning reads and writes checkpoints with.
    """

    def __init__(self, place: Checkpointing, module: Resumable, budget: Budget, ranks: Ranks) -> None:
        facts: dict[str, Any] = {
            "key": place.key,
            "number of steps": budget.steps,
            "device": budget.device,
            "torch": str(torch.__version__),
            "lightning": version("pytorch-lightning"),
        }
        if ranks.number > 1:
            facts["number of processes"] = ranks.number
        self.files = _Files(facts)
        self._place, self._steps, self._ranks = place, budget.steps, ranks
        self._due = time.monotonic() + 60 * place.minutes
        self._signals = Signals()
        # Because a process may fail to read what the others have read, all go on from the same batch or begin together
        self.done = self._written = ranks.least(self._read(facts, module))
        if not self.done:
            self.files.held = None

    @property
    def path(self) -> str | None:
        """Return the path that the fit goes on from, None where it begins."""
        return str(self._place.path) if self.done else None

    def rest_of(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Return the batches that the fit has not trained on yet, as Lightning takes them."""
        return _Rest(batches, self.done) if self.done else batches

    def _read(self, facts: Mapping[str, Any], module: Resumable) -> int:
        """Take the checkpoint of the fit where there is one that can be used, and return its number of batches."""
        try:
            state = read_snapshot(self._place.path, facts)
            if state is None:
                return 0
            _check_parts(state, module)
        except UnusableSnapshot as reason:
            log.warning("the checkpoint %s is not used (%s); the fit begins again", self._place.path, reason)
            return 0
        if self._ranks.number > 1:
            state[STREAMS] = state[STREAMS_OF_ALL][self._ranks.rank]
        self.files.held = state
        log.info("a fit goes on from its checkpoint at step %d of %d", state["global_step"], self._steps)
        return int(state[BATCHES])

    def listening(self) -> AbstractContextManager[None]:
        """Let signals wait for the end of a step inside the block, from the start of training on."""
        return self._signals.listening()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let signals wait from here on, because Lightning has put its own handler of SIGTERM in place just now."""
        self._signals.hold()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Write the checkpoint where it is time, and do what signals ask for.

        The step before has ended here with all that belongs to it, also with the module's own hook after a batch.
        """
        if batch_idx % trainer.accumulate_grad_batches:  # because gradients are in no checkpoint
            return
        if self._ranks.first_says(bool(self._signals.waiting) or time.monotonic() >= self._due):
            self._write(trainer, batch_idx)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do what signals ask for that came during the last step."""
        if self._ranks.first_says(bool(self._signals.waiting)):
            self._write(trainer, trainer.fit_loop.batch_idx + 1)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the number of batches that the fit has trained on, and the random streams of every process."""
        checkpoint[BATCHES] = self._written
        if self._ranks.number > 1:
            assert isinstance(pl_module, Resumable)
            checkpoint[STREAMS_OF_ALL] = self._ranks.gathered(pl_module.states())

    def _write(self, trainer: pl.Trainer, batches: int) -> None:
        if batches != self._written:
            self._written = batches
            trainer.save_checkpoint(self._place.path)
        self._due = time.monotonic() + 60 * self._place.minutes
        self._signals.deliver()


def _check_parts(state: Mapping[str, Any], module: Resumable) -> None:
    """Refuse a state that a module of other weights or streams has written, before any of it is taken over.

    Raises:
        UnusableSnapshot: a weight or a stream is missing, or has another shape.
    """
    found = {name: value.shape for name, value in state["state_dict"].items()}
    if found != {name: value.shape for name, value in module.state_dict().items()}:
        raise UnusableSnapshot("its weights have other names or shapes than the model's")
    if state[STREAMS].keys() != module.streams().keys():
        raise UnusableSnapshot("its random streams are others than the model's")


class _Files(CheckpointIO):
    """Read and write checkpoints as snapshots, for Lightning."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self.held: dict[str, Any] | None = None  # what was read and found good, until Lightning takes it

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint in the place of the one before; where it cannot be written, only the log says so."""
        try:
            write_snapshot(Path(path), checkpoint, self._facts)
        except (OSError, SafetensorError) as error:
            log.warning("the checkpoint %s cannot be written (%s); the fit goes on", path, error)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the checkpoint that was read, and let go of it."""
        held, self.held = self.held, None
        assert held is not None
        return held

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        remove_snapshot(Path(path))


class _Rest:
    """Yield batches without the first ones. The length is that of all of them, because Lightning counts on from there.

    Args:
        batches: all batches of a fit, in their order.
        done: how many are left out.
    """

    def __init__(self, batches: Iterable[Any], done: int) -> None:
        self._batches, self._done = batches, done

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._batches), self._done, None)
