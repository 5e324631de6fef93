"""Note on disk where a run stands, for `collapse-lab status`."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from collapse_lab.storage.files import write_whole
from collapse_lab.types import Progress

FILE = ".standing.json"  # in the folder of the run, while it runs
PERIOD = 5.0  # seconds between two notes at least


@dataclass(frozen=True)
class Standing:
    """Hold what a run is doing.

    Attributes:
        generation: the generation that it computes.
        model: the member of the population.
        phase: `fit`, `sample seen`, …
        done: how many steps of the phase are done.
        total: how many steps the phase has.
        seconds: for how long the phase has been going on.
    """

    generation: int
    model: str
    phase: str
    done: int
    total: int
    seconds: float

    @classmethod
    def read(cls, folder: Path) -> Standing | None:
        """Return where the run of a folder stands; None where it is not known."""
        try:
            return cls(**json.loads((folder / FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


class Noting:
    """Pass progress on, and note it on disk every few seconds.

    A note that cannot be written costs no run: it is left out.

    Args:
        progress: what else is told.
        folder: the folder of the run.
    """

    def __init__(self, progress: Progress, folder: Path) -> None:
        self._progress, self._path = progress, folder / FILE
        self._phase: tuple[int, str, str, int] | None = None
        self._done, self._begun = 0, 0.0
        self._due = time.monotonic() + PERIOD

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self._phase, self._done, self._begun = (generation, model, phase, total), 0, time.monotonic()
        self._progress.start(generation, model, phase, total)
        self._note()

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        self._done += steps
        self._progress.advance(steps)
        self._note()

    def stop(self) -> None:
        """End the phase."""
        self._progress.stop()

    def close(self) -> None:
        """Remove the note, because the run has ended."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _note(self) -> None:
        now = time.monotonic()
        if now < self._due or self._phase is None:
            return
        generation, model, phase, total = self._phase
        standing = Standing(generation, model, phase, self._done, total, now - self._begun)
        with suppress(OSError):
            write_whole(self._path, json.dumps(asdict(standing)))
        self._due = time.monotonic() + PERIOD
