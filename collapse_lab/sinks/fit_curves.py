"""Curves within a fit: which of its glances are points of a curve, and a file that keeps the points of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from collapse_lab.types import Glance

GIB = 2**30


@dataclass(frozen=True)
class Point:
    """Hold one point of the curves within a fit.

    Attributes:
        generation: of the model that is fitted.
        model: the member of the population.
        step: the step of the fit, the first one being 1.
        total: steps of the fit.
        records: lines of the ledger that were there before it.
        numbers: `loss`, `learning_rate`, a rate such as `images_per_second`, `gpu_memory_gib`.
    """

    generation: int
    model: str
    step: int
    total: int
    records: int
    numbers: dict[str, float]

    @property
    def position(self) -> float:
        """Return the generation and the share of its fit that is done: 2.5 is the middle of the fit of generation 2."""
        return self.generation + (self.step - 1) / max(self.total, 1)


class Meter:
    """Make points of some of a fit's glances, at least `every` steps apart; the first and the last glance are points.

    Args:
        every: steps between two points; None makes no point at all.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._fit: tuple[int, str, int] | None = None
        self._last: tuple[int, float] | None = None

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase; of phases that are no fit of a model, glances are left out."""
        self._fit, self._last = (generation, model, total) if phase == "fit" else None, None

    def stop(self) -> None:
        """End the phase."""
        self._fit = None

    def point(self, glance: Glance, records: int) -> Point | None:
        """Return the point of a glance, None where it is not time for one.

        Args:
            glance: what is seen of the fit.
            records: lines of the ledger so far.
        """
        if self._fit is None or self._every is None:
            return None
        generation, model, total = self._fit
        now, numbers = time.perf_counter(), {"loss": glance.loss, "learning_rate": glance.learning_rate}
        if self._last is not None:
            step, then = self._last
            if glance.step - step < self._every and glance.step != total:
                return None
            numbers[f"{glance.unit}_per_second"] = (glance.step - step) * glance.size / max(now - then, 1e-9)
        if glance.memory is not None:
            numbers["gpu_memory_gib"] = glance.memory / GIB
        self._last = glance.step, now
        return Point(generation, model, glance.step, total, records, numbers)


class PointFile:
    """Keep the points of a run in a file, a line each, so that a mirror can be written afresh.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, point: Point) -> None:
        """Write a point at the end of the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(point)) + "\n")

    def read(self) -> list[Point]:
        """Return the points in their order, each step once: a fit that went on from a checkpoint repeats some."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        points: list[Point] = []
        ends: dict[tuple[int, str], int] = {}
        for line in lines:
            try:
                point = Point(**json.loads(line))
            except ValueError:  # because a killed process may leave half a line
                continue
            fit = point.generation, point.model
            if ends.get(fit, 0) >= point.step:
                points = before(points, point)
            ends[fit] = point.step
            points.append(point)
        return points


def before(points: Iterable[Point], point: Point) -> list[Point]:
    """Return the points without those of the same fit at the same step or a later one."""
    fit = point.generation, point.model
    return [other for other in points if (other.generation, other.model) != fit or other.step < point.step]
