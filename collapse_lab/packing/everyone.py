"""The progress of all members of a pack at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collapse_lab.types import Progress


class Everyone:
    """Tell every member's progress the same."""

    def __init__(self, members: Sequence[Progress]) -> None:
        self._members = list(members)

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self._tell(lambda member: member.start(generation, model, phase, total))

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        self._tell(lambda member: member.advance(steps))

    def stop(self) -> None:
        """End the phase."""
        self._tell(lambda member: member.stop())

    def _tell(self, call: Callable[[Progress], None]) -> None:
        for member in self._members:
            call(member)
