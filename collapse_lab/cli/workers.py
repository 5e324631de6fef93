"""Worker processes of a sweep (`hydra/launcher=local`): they end with their launcher, and a killed one costs no cell.

joblib starts the workers, and ends all of them as soon as one of them is killed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from collapse_lab.cli import sweep
from collapse_lab.cli.leases import lease
from collapse_lab.errors import UserError

LAUNCHER = "COLLAPSE_LAB_LAUNCHER"  # the environment variable with the process id of the launcher
PERIOD = 0.5  # seconds between two looks at the launcher
MOST_EMPTY = 3  # launches in a row whose workers are killed before any cell has begun


def start_worker(gpus: Sequence[str] = (), cells_per_gpu: int = 1, leases: Path | None = None) -> None:
    """Lease a GPU for this process, and end it as soon as the process that launched the sweep has ended.

    joblib calls this function first in each worker, before CUDA starts. A thread watches the parent: a signal that the
    kernel sends (PR_SET_PDEATHSIG) exists on Linux alone, and is tied to the thread that started the worker. The
    launcher's process id is in the environment, because the launcher may have ended already.

    Args:
        gpus: the GPUs of the sweep; none leaves the choice to the cells.
        cells_per_gpu: how many workers may share a GPU.
        leases: the folder of the locks.
    """
    launcher = int(os.environ.get(LAUNCHER, os.getppid()))
    watch = _Watch(launcher)
    watch.start()
    if gpus and leases is not None:
        watch.held = lease(gpus, cells_per_gpu, leases)


class _Watch(threading.Thread):
    """Wait for the end of the launcher, and hold the lease of this process for as long as the process lives."""

    def __init__(self, launcher: int) -> None:
        super().__init__(name="launcher watch", daemon=True)
        self._launcher = launcher
        self.held: FileLock | None = None

    def run(self) -> None:
        while os.getppid() == self._launcher:
            time.sleep(PERIOD)
        os._exit(1)  # at once, as a kill: ledgers and stores are made for it


@dataclass(frozen=True)
class Round:
    """Hold which cells of a sweep one launch of it runs.

    Attributes:
        again: whether cells that have an outcome are left out.
        alone: the number of the only cell that runs; None where it is not one alone.
    """

    again: bool = False
    alone: int | None = None

    def includes(self, cell: sweep.Cell) -> bool:
        """Return whether the cell runs in this launch."""
        if self.alone is not None:
            return cell.number == self.alone
        return not (self.again and cell.file.exists())


@contextmanager
def relaunching(start: Callable[[Round], None]) -> Iterator[None]:
    """Run again what a killed worker took along from the launch inside the block.

    Each cell that had begun runs alone, so that a cell whose worker is killed each time takes no other along. It is
    lost if its worker is killed then too. After them, the cells without an outcome are launched together. So each
    killed worker ends with one more outcome, or with one of a few launches in which no cell has begun.

    Args:
        start: launches the cells of a round.

    Raises:
        UserError: the first refusal of a cell, or cells that did not end well.
        BaseException: another first failure of a cell.
    """
    try:
        yield
        return
    except BrokenProcessPool:
        pass
    failures: list[Exception] = []
    empty = 0
    broken = True
    while broken:
        begun = sweep.unfinished()
        empty = 0 if begun else empty + 1
        if empty == MOST_EMPTY:
            raise UserError(
                f"worker processes were killed {MOST_EMPTY} times before a cell had begun, as the system does when "
                "memory ends; give COLLAPSE_LAB_JOBS fewer workers"
            )
        if begun:
            _say_lost(begun)
        for cell in begun:
            _attempt(start, Round(alone=cell.number), failures)
            if not cell.file.exists():
                cell.lose("its worker process was killed, and killed again while no other cell ran")
        broken = _attempt(start, Round(again=True), failures)
    if failures:
        raise failures[0]
    bad, cells = sweep.count_bad()
    if bad:
        sys.exit(f"collapse_lab: {bad} of {cells} cells did not end well; the same command goes on from what is stored")


def _attempt(start: Callable[[Round], None], which: Round, failures: list[Exception]) -> bool:
    """Launch a round and note the failure of a cell; return whether a worker was killed."""
    try:
        start(which)
    except BrokenProcessPool:
        return True
    except Exception as error:  # because the other cells run first, as they do in a sweep without a killed worker
        failures.append(error)
    return False


def _say_lost(cells: Sequence[sweep.Cell]) -> None:
    names = sweep.name_cells(cells)
    print(
        "collapse_lab: a worker process was killed, as the system does when memory ends, and these cells were lost "
        f"with it: {'; '.join(names)}. They run again now, one at a time",
        file=sys.stderr,
        flush=True,
    )
