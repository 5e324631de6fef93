"""Progress that nobody watches."""

from __future__ import annotations


class Silent:
    """Says nothing."""

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Nothing."""

    def advance(self, steps: int = 1) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
