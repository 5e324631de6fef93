"""Report progress to several at once: to the members of a pack, or to all sinks that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collapse_lab.engine.glances import tell
from collapse_lab.types import Glance, Progress


class Everyone:
    """Forward every report to the progress of each member.

    Args:
        members: the progress of each cell that takes part in the program, or of each sink.
    """

    def __init__(self, members: Sequence[Progress]) -> None:
        self.members = list(members)

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self._forward(lambda member: member.start(generation, model, phase, total))

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        self._forward(lambda member: member.advance(steps))

    def stop(self) -> None:
        """End the phase."""
        self._forward(lambda member: member.stop())

    def glance(self, glance: Glance) -> None:
        """Show what is seen of a fit to those that want it."""
        self._forward(lambda member: tell(member, glance))

    def _forward(self, call: Callable[[Progress], None]) -> None:
        for member in self.members:
            call(member)
