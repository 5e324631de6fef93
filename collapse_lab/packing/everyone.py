"""Report progress to all members of a pack at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collapse_lab.types import Progress


class Everyone:
    """Forward every report to the progress of each member.

    Args:
        members: the progress of each cell that takes part in the program.
    """

    def __init__(self, members: Sequence[Progress]) -> None:
        self._members = list(members)

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self._forward(lambda member: member.start(generation, model, phase, total))

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        self._forward(lambda member: member.advance(steps))

    def stop(self) -> None:
        """End the phase."""
        self._forward(lambda member: member.stop())

    def _forward(self, call: Callable[[Progress], None]) -> None:
        for member in self._members:
            call(member)
