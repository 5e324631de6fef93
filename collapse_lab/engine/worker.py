"""One of the processes that compute a divided fit, which `engine.distributed` starts, hears and ends."""

from __future__ import annotations

import logging
import logging.handlers
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import distributed

from collapse_lab.engine.ranks import PATIENCE
from collapse_lab.engine.signals import SIGNALS
from collapse_lab.errors import Diverged, UserError
from collapse_lab.types import Budget, FitRequest, Glance

REQUEST, WEIGHTS, MEETING = "request.pt", "weights.pt", "meeting"  # files of the folder that the processes share
LOGGER = "collapse_lab"
# What a process says: how the fit goes on, that it has begun, that a checkpoint is written, and how it has ended
ADVANCE, GLANCE, LOG, BEGUN, KEPT, DONE, FAILED = range(7)

Compute = Callable[[FitRequest], None]


class Relay:
    """Pass on through a pipe what a progress is told; without a pipe, nothing.

    Args:
        pipe: leads to the process that shows the progress.
    """

    def __init__(self, pipe: Connection | None = None) -> None:
        self._pipe = pipe

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Do nothing, because the fit's own process has begun the phase."""

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        if self._pipe is not None:
            self._pipe.send((ADVANCE, steps))

    def glance(self, glance: Glance) -> None:
        """Show what is seen of the fit."""
        if self._pipe is not None:
            self._pipe.send((GLANCE, glance))

    def stop(self) -> None:
        """Do nothing."""


class _LogRelay(logging.handlers.QueueHandler):
    """Pass on the records of a log through a pipe."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send((LOG, record))  # type: ignore[attr-defined]


def work(compute: Compute, rank: int, folder: Path, pipe: Connection, threads: int, level: int) -> None:
    """Be one of the processes of a fit, until the process that has started it ends it.

    SIGINT and SIGTERM stay blocked, because a terminal sends them to all processes and the one that has started them
    decides. It sends SIGUSR2 to the first process to ask for a checkpoint (`engine.checkpoint`).

    Args:
        compute: what is done with the request.
        rank: the number of this process, the first one being 0.
        folder: where the request lies, and the processes meet.
        pipe: leads to the process that has started this one.
        threads: how many threads of a CPU the process takes.
        level: the least level of what the first process logs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        request: FitRequest = torch.load(folder / REQUEST, map_location="cpu", mmap=True, weights_only=False)
        logging.getLogger().addHandler(logging.NullHandler())
        _meet(request.budget, rank, folder, threads)
        if rank == 0:
            logging.getLogger(LOGGER).addHandler(_LogRelay(pipe))  # type: ignore[arg-type]
            logging.getLogger(LOGGER).setLevel(level)
            signal.signal(signal.SIGUSR2, lambda *_: pipe.send((KEPT, None)))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        pipe.send((BEGUN, None))
        compute(replace(request, progress=Relay(pipe if rank == 0 else None)))
        if rank == 0:
            torch.save(dict(request.model.weights()), folder / WEIGHTS)
        pipe.send((DONE, None))
    except BaseException as error:  # because it is raised in the process that has started this one
        pipe.send((FAILED, _portable(error, rank)))
    # Because the end of a process breaks its connections, and the others would report that in the place of the reason
    threading.Event().wait()


def _meet(budget: Budget, rank: int, folder: Path, threads: int) -> None:
    """Join the process group of the fit."""
    if budget.device == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(threads)
    if sys.platform == "linux":  # because all processes are on this machine, whatever its name resolves to
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "nccl" if budget.device == "cuda" else "gloo",
        init_method=(folder / MEETING).as_uri(),
        rank=rank,
        world_size=budget.devices,
        timeout=PATIENCE,
    )


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: BaseException, rank: int) -> BaseException:
    """Return an error with its traceback as a note, in a form that another process can raise."""
    if not isinstance(error, Diverged | UserError):
        error.add_note(f"in process {rank + 1} of the fit:\n{''.join(traceback.format_exception(error))}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # because any class of error may need arguments of its own
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
