"""Draw what the coming steps of a fit train on in a thread of its own, so that a GPU does not wait for the CPU."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from collapse_lab.engine.checkpoint import Resumable, states_of
from collapse_lab.engine.ranks import share

AHEAD = 2  # steps on a GPU: one is copied to it while the next one is drawn


class Drawing(Resumable):
    """Be a module whose steps train on what `draw` returns for the numbers of their rows.

    `draw` is called once for each batch, in the order of the batches. On a GPU one thread calls it for the coming
    steps while the present one is computed, so nothing else may draw from `drawing_streams` during a fit.
    """

    _ahead: Ahead | None = None

    @abstractmethod
    def draw(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return what one step trains on, each tensor (n, …) on the CPU.

        Args:
            rows: the numbers (n,) of the rows of the step.
        """

    def drawing_streams(self) -> Mapping[str, torch.Generator]:
        """Return by name every generator that `draw` draws random numbers from; they are a part of `streams`."""
        return {}

    def streams(self) -> Mapping[str, torch.Generator]:
        """Return those that `draw` draws from; a family whose steps draw from others too adds them."""
        return self.drawing_streams()

    def steps_ahead(self, device: str) -> int:
        """Return how many steps are drawn ahead; 0 draws each step when it is computed.

        It is 0 on a CPU, because drawing takes 0.2 % of a step there, and a thread that draws beside the computation
        takes cores from it: fits are 1.1 to 1.8 times slower (`python -m tests.benchmarks.bench_ahead`).

        Args:
            device: cpu or cuda.
        """
        return 0 if device == "cpu" else AHEAD

    def drawn(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return this process's share of what a step trains on, on the module's device."""
        if self._ahead is not None:
            return self._ahead.take()
        return tuple(part.to(self.device) for part in _own(self, rows))

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Return the row numbers as they are, because the rows are on the CPU."""
        return batch

    def states(self) -> dict[str, Tensor]:
        """Return the states of the random streams after the present step, however far the thread is."""
        ahead = {} if self._ahead is None else self._ahead.states
        return {**states_of({name: of for name, of in self.streams().items() if name not in ahead}), **ahead}


@contextmanager
def drawing_ahead(module: pl.LightningModule, batches: Iterable[Any], device: str) -> Iterator[Iterable[Any]]:
    """Give the batches of a fit, whose rows are drawn ahead inside the block where the module and the device do so.

    Args:
        module: what is fitted.
        batches: the row numbers of each step that is left to compute.
        device: cpu or cuda.
    """
    if not isinstance(module, Drawing) or not (steps := module.steps_ahead(device)):
        yield batches
        return
    module._ahead = ahead = Ahead(module, batches, steps)
    try:
        yield ahead
    finally:
        del module._ahead  # because the two refer to each other and the rows would stay in memory
        ahead.close()


class Ahead:
    """Yield batches of row numbers while one thread draws, in their order, what the coming steps train on.

    Args:
        module: what is fitted.
        batches: the row numbers of each step.
        steps: how many steps are drawn ahead, 1 or more.

    Attributes:
        states: the states of the module's `drawing_streams` after the step that was taken last.
    """

    def __init__(self, module: Drawing, batches: Iterable[Tensor], steps: int) -> None:
        self._module, self._batches, self._steps = module, batches, steps
        self._thread = ThreadPoolExecutor(1, "collapse_lab-draws")
        self._coming: deque[Future[_Step]] = deque()
        self._side: torch.cuda.Stream | None = None
        self.states: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Tensor]:
        # At the first batch and not before, because Lightning loads a checkpoint after this object is made
        self.states = states_of(self._module.drawing_streams())
        waiting: deque[Tensor] = deque()
        for rows in self._batches:
            self._coming.append(self._thread.submit(self._draw, rows))
            waiting.append(rows)
            if len(waiting) > self._steps:
                yield waiting.popleft()
        yield from waiting

    def take(self) -> tuple[Tensor, ...]:
        """Return what the next step trains on, on the module's device.

        Raises:
            Exception: what `draw` has raised for this step.
        """
        step = self._coming.popleft().result()
        self.states = step.states
        if step.copied is not None:
            present = torch.cuda.current_stream(self._module.device)
            present.wait_event(step.copied)
            for part in step.parts:
                part.record_stream(present)  # because its memory belongs to the stream that has copied it
        return step.parts

    def close(self) -> None:
        """End the thread, and let go of what it has drawn."""
        self._thread.shutdown(cancel_futures=True)
        self._coming.clear()

    def _draw(self, rows: Tensor) -> _Step:
        parts, device = _own(self._module, rows), self._module.device
        states = states_of(self._module.drawing_streams())
        if device.type != "cuda":
            return _Step(parts, states)
        self._side = self._side or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._side):
            moved = tuple(part.pin_memory().to(device, non_blocking=True) for part in parts)
            return _Step(moved, states, self._side.record_event())


@dataclass(frozen=True)
class _Step:
    """What one step trains on, and where the streams are after it.

    Attributes:
        parts: what `draw` returned, this process's share of it.
        states: the states of the drawing streams.
        copied: when the copy to a GPU has ended; None on a CPU.
    """

    parts: tuple[Tensor, ...]
    states: dict[str, Tensor]
    copied: torch.cuda.Event | None = None


def _own(module: Drawing, rows: Tensor) -> tuple[Tensor, ...]:
    """Return this process's share of what a step trains on.

    All of it is drawn, so that it is the same for any number of processes.
    """
    own = share(module, len(rows))
    return tuple(part[own] for part in module.draw(rows))
