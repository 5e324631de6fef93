"""Provide progress reports that go nowhere."""

from __future__ import annotations


class Silent:
    """Ignore every report of progress."""

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Do nothing."""

    def advance(self, steps: int = 1) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""
