"""Say now and then how far a phase is, where no bar can be drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

EVERY = 30.0  # seconds between two lines of a phase


class Lines:
    """Say a line for every half minute that a phase lasts: how far it is, and how long the rest takes.

    Args:
        say: prints a line.
        clock: returns seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._title, self._total, self._done = "", 0, 0
        self._began = self._said = 0.0

    def start(self, title: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self._title, self._total, self._done = title, total, 0
        self._began = self._said = self._clock()

    def advance(self, steps: int) -> None:
        """Count steps, and say a line if the last one is half a minute old."""
        self._done += steps
        now = self._clock()
        if now - self._said < EVERY or not 0 < self._done < self._total:
            return
        self._said = now
        left = timedelta(seconds=round((now - self._began) / self._done * (self._total - self._done)))
        self._say(f"{self._title} · {self._done:,} of {self._total:,}, about {left} left")
