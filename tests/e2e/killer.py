"""A sink of a user that kills its own process, as the kernel does when memory ends."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.types import Record, RunInfo


class Killer:
    """Kill the process of the cell of one seed once its generation 0 is recorded.

    Args:
        seed: the seed of the cell.
        times: how often, at most.
        marks: a folder with one file for each kill.
    """

    def __init__(self, seed: int, times: int, marks: str) -> None:
        self._seed, self._times, self._marks = seed, times, Path(marks)
        self._is_ours = False

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        self._is_ours = run.config["seed"] == self._seed
        self._kill()

    def record(self, record: Record) -> None:
        self._kill()

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        pass

    def close(self, status: str) -> None:
        pass

    def _kill(self) -> None:
        self._marks.mkdir(parents=True, exist_ok=True)
        done = len(list(self._marks.iterdir()))
        if self._is_ours and done < self._times:
            (self._marks / str(done)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
