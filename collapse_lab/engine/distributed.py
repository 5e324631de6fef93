"""Divide one fit over several processes of this machine, with a GPU each, while this process watches over them.

The processes are started by spawn, and all of them are given the same model, rows, seeds and budget. `engine.ranks`
says what each computes. They meet through a file. This process alone keeps the store and the ledger: the first process
tells it of each step, writes the checkpoints of the fit, and leaves the weights in a file.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch

from collapse_lab.engine.glances import tell
from collapse_lab.engine.signals import SIGNALS, Signals
from collapse_lab.engine.worker import (
    ADVANCE,
    DONE,
    FAILED,
    GLANCE,
    KEPT,
    LOG,
    LOGGER,
    REQUEST,
    WEIGHTS,
    Compute,
    Relay,
    work,
)
from collapse_lab.errors import Diverged, UserError
from collapse_lab.types import FitRequest

PERIOD = 0.2  # seconds between two looks for signals
GRACE = 1.0  # seconds in which the death of a process shows, after another one has lost its connection to it


def fit_divided(request: FitRequest, compute: Compute) -> None:
    """Fit a model in place, the rows of each step divided over `budget.devices` processes.

    Args:
        request: the fit. Its model is pickled, and its rows too unless they are mapped from files.
        compute: what each process does with the request; a function of a module.

    Raises:
        Diverged: the loss is not finite.
        UserError: the model cannot be handed to other processes.
        KeyboardInterrupt: the user pressed Ctrl-C, or this process was asked to end by SIGTERM.
        RuntimeError: a process was killed.
    """
    if type(request.model).__module__ == "__main__":  # which the processes do not run
        raise UserError(
            f"{type(request.model).__name__} is defined in the script or notebook that runs, which other processes "
            "cannot import; move it to a module of its own, or give trainer.devices=1"
        )
    with TemporaryDirectory(prefix="collapse_lab-fit-") as folder:
        try:
            # Because the identity is the engine's business, and the progress stays here
            torch.save(replace(request, identity={}, progress=Relay()), Path(folder) / REQUEST, pickle_protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"{type(request.model).__name__} cannot be handed to other processes ({error}); give trainer.devices=1"
            ) from error
        if request.budget.device == "cuda":
            torch.cuda.empty_cache()  # because the first process shares a GPU with this one
        Processes(request, compute, Path(folder)).run()
        request.model.load(torch.load(Path(folder) / WEIGHTS, weights_only=True))


class Processes:
    """Start the processes of a fit, relay what the first one tells, and end all of them, whatever happens.

    Args:
        request: the fit.
        compute: what each process does with it.
        folder: where the request lies, and the processes meet.
    """

    def __init__(self, request: FitRequest, compute: Compute, folder: Path) -> None:
        self._progress, self._number = request.progress, request.budget.devices
        self._compute, self._folder = compute, folder
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection] = []
        self._signals = Signals()
        self._begun = self._asked = self._done = False

    def run(self) -> None:
        """Return once the first process has left the weights."""
        with self._signals.listening():
            self._signals.hold()
            try:
                self._start()
                while not self._done:
                    self._heed_signals()
                    # Because a process says why it fails before it ends, listen to all before looking who has ended
                    ready = wait([*self._pipes, *(process.sentinel for process in self._processes)], PERIOD)
                    for pipe in [pipe for pipe in self._pipes if pipe in ready]:
                        self._listen(pipe)
                    if not self._done:
                        self._refuse_the_dead()
            finally:
                self._end()

    def _start(self) -> None:
        context = get_context("spawn")
        resource_tracker.ensure_running()  # because it lets signals through when it is started
        threads, level = max(1, torch.get_num_threads() // self._number), logging.getLogger(LOGGER).getEffectiveLevel()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a process inherits it, so that none ends by itself
        try:
            for rank in range(self._number):
                ours, theirs = context.Pipe()
                what = self._compute, rank, self._folder, theirs, threads, level
                process = context.Process(target=work, args=what, name=f"fit {rank}", daemon=True)
                with _without_main():
                    process.start()
                theirs.close()
                self._processes.append(process)
                self._pipes.append(ours)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _heed_signals(self) -> None:
        """Ask for a checkpoint where a signal waits; before training has begun, do at once what the signal asks for."""
        if not self._signals.waiting or self._asked:
            return
        if not self._begun:
            self._signals.deliver()
            return
        self._asked = True
        os.kill(self._processes[0].pid or 0, signal.SIGUSR2)

    def _listen(self, pipe: Connection) -> None:
        try:
            while pipe.poll():
                self._take(pipe is self._pipes[0], *pipe.recv())
        except (EOFError, ConnectionResetError):
            pass  # because the process has ended, which its sentinel shows

    def _take(self, first: bool, kind: int, value: Any) -> None:
        """Do what a process's message says."""
        if kind == ADVANCE:
            self._progress.advance(value)
        elif kind == GLANCE:
            tell(self._progress, value)
        elif kind == LOG:
            logging.getLogger(value.name).handle(value)
        elif kind == KEPT:
            self._asked = False
            self._signals.deliver()
        elif kind == FAILED:
            if not isinstance(value, Diverged | UserError):
                wait([process.sentinel for process in self._processes], GRACE)
                self._refuse_the_dead()
            raise value
        elif first:
            self._begun, self._done = True, kind == DONE

    def _refuse_the_dead(self) -> None:
        """Raise an error if a process has ended, because none ends by itself.

        Raises:
            RuntimeError: it says which process has ended and how.
        """
        for rank, process in enumerate(self._processes):
            if not wait([process.sentinel], 0):
                continue
            process.join(GRACE)  # because the system says that it has ended a moment before it says how
            code = process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            hint = ". Linux sends it where the memory is used up" if name == "SIGKILL" else ""
            raise RuntimeError(
                f"process {rank + 1} of the {self._number} that computed this fit (trainer.devices) was ended by "
                f"{name}, and the others with it{hint}. Give the same command again to go on"
            )

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(timeout=30)
        for pipe in self._pipes:
            pipe.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a process that is started inside the block from running this program's main module.

    Spawn runs it so that its classes are known. A script would begin its run once more there, and wait for ever for the
    lock that this process holds.
    """
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
