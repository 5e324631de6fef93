"""What a cell can ask for that may be done together with what others ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collapse_lab.engine.seeds import Seeds
from collapse_lab.types import Budget, Conditions, GenerativeModel, Progress, Samples

if TYPE_CHECKING:
    from collapse_lab.engine.lab import ModelPart

PHASES = ("fit", "sample", "grid")


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitting a model that holds the weights it starts from."""

    part: ModelPart
    model: GenerativeModel
    data: Samples
    budget: Budget
    seeds: Seeds
    progress: Progress

    @property
    def when(self) -> tuple[int, int]:
        """How far its chain is: the generation, and the phase within it."""
        return self.seeds.generation, PHASES.index("fit")

    def alone(self) -> None:
        self.model.fit(self.data, self.budget, self.seeds, self.progress)


@dataclass(frozen=True, eq=False)
class Sampling:
    """Sampling a fitted model of a generation; the seeds of a grid are those of generation 0."""

    part: ModelPart
    model: GenerativeModel
    generation: int
    conditions: Conditions
    seeds: Seeds
    progress: Progress

    @property
    def when(self) -> tuple[int, int]:
        """How far its chain is: the generation, and the phase within it."""
        return self.generation, PHASES.index(self.seeds.role.split("/")[0])

    def alone(self) -> Samples:
        return self.model.sample(self.conditions, self.seeds, self.progress)


class Everyone:
    """The progress of all members of a pack at once."""

    def __init__(self, members: list[Progress]) -> None:
        self._members = members

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        self._each(lambda member: member.start(generation, model, phase, total))

    def advance(self, steps: int = 1) -> None:
        self._each(lambda member: member.advance(steps))

    def stop(self) -> None:
        self._each(lambda member: member.stop())

    def _each(self, call: Callable[[Progress], None]) -> None:
        for member in self._members:
            call(member)
