"""Prompt set of a random share of the captions, for prompts that are not trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Prompts


@dataclass(frozen=True)
class HeldOut(Prompts):
    """Select a fixed random share of the distinct captions ("out"), or all other captions ("in").

    A hash of (seed, caption) decides for each caption on its own, so a caption is on the same side in every data set,
    split and limit. The share of captions that is held out is `fraction` on average.

    Args:
        fraction: share that is held out, in (0, 1).
        part: "out" selects the captions that are held out, "in" the others.
        seed: seed of the hash.

    Raises:
        UserError: when fraction is out of its range.
    """

    fraction: float
    part: Literal["in", "out"]
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise UserError(f"fraction must lie strictly between 0 and 1, got {self.fraction}: try 0.2")

    def holds(self, label: int, caption: str | None) -> bool:
        """Return whether the caption is on this side; False where there is no caption."""
        del label
        if caption is None:
            return False
        digest = hashlib.sha256(f"{self.seed}\x1f{caption}".encode()).digest()
        held_out = int.from_bytes(digest[:8], "big") < self.fraction * 2**64
        return held_out == (self.part == "out")
