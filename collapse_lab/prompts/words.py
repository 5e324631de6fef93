"""Prompts with or without chosen words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Prompts, has_word


@dataclass(frozen=True)
class Words(Prompts):
    """The rows whose caption holds any of some whole words, in any case; or, `without`, none of them."""

    words: Sequence[str]
    without: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.words, str) or not self.words or not all(str(w).strip() for w in self.words):
            raise UserError(f"Words should list at least one word, got {self.words!r}: give words=[bird]")

    def holds(self, label: int, caption: str | None) -> bool:
        """Whether the caption has one of the words; never where there is no caption."""
        del label
        return caption is not None and any(has_word(caption, w) for w in self.words) != self.without
