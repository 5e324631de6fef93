"""Prompt set of templates whose slots are filled with lists of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from collapse_lab.prompts.filling import filled
from collapse_lab.prompts.listed import Listed, each_once


@dataclass(frozen=True)
class Template(Listed):
    """Give every template with every combination of the words of its slots; the last slot changes fastest.

    Args:
        templates: sentences with slots in braces, such as "a photo of a {age} {person}"; at least one.
        slots: the words of each slot.

    Raises:
        UserError: as `filled`, or two of the prompts are equal.
    """

    templates: Sequence[str]
    slots: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.prompts

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Return the prompts, template after template."""
        return each_once(filled(self.templates, self.slots, "the prompt set"), "the prompt set")
