"""A random share of the captions, for prompts that were never trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Prompts


@dataclass(frozen=True)
class HeldOut(Prompts):
    """A fixed random share of the distinct captions ("out"), or all others ("in").

    Each caption is drawn on its own by a hash of (seed, caption), so it falls on the same side in every data
    set, split and limit; the realised share is `fraction` on average.

    fraction: in (0, 1). part: "in" or "out".
    """

    fraction: float
    part: Literal["in", "out"]
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise UserError(f"fraction must lie strictly between 0 and 1, got {self.fraction}: try 0.2")
        if self.part not in ("in", "out"):
            raise UserError(f"part must be 'in' or 'out', got '{self.part}'")

    def holds(self, label: int, caption: str | None) -> bool:
        """Whether the caption is on this side; never where there is no caption."""
        del label
        if caption is None:
            return False
        digest = hashlib.sha256(f"{self.seed}\x1f{caption}".encode()).digest()
        out = int.from_bytes(digest[:8], "big") < self.fraction * 2**64
        return out == (self.part == "out")
