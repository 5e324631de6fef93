"""Prompt set of the captions with or without some words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Prompts, has_word


@dataclass(frozen=True)
class Words(Prompts):
    """Select the rows whose caption has at least one of some words, or none of them.

    Only whole words count; upper and lower case are the same.

    Args:
        words: the words; at least one.
        without: True selects the captions that have none of the words.

    Raises:
        UserError: when words is empty or is one text instead of a list.
    """

    words: Sequence[str]
    without: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.words, str) or not self.words or not all(str(word).strip() for word in self.words):
            raise UserError(f"Words should list at least one word, got {self.words!r}: give words=[bird]")

    def holds(self, label: int, caption: str | None) -> bool:
        """Return whether the caption is one of the selected captions; False where there is no caption."""
        del label
        return caption is not None and any(has_word(caption, word) for word in self.words) != self.without
