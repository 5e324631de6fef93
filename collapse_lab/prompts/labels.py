"""Prompts of chosen labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.prompts.base import Pool, Prompts
from collapse_lab.types import Samples, Spec


@dataclass(frozen=True)
class Labels(Prompts):
    """The rows of some labels, each given by its number or by the word of its class.

    classes: the words of the data set, filled in by `bind`.
    """

    labels: Sequence[int | str]
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            raise UserError("Labels should name at least one label, got none: give numbers or words of classes")

    def bind(self, spec: Spec) -> Labels:
        """The same with the words of this data set, checked. Raises UserError for an unknown label."""
        bound = replace(self, classes=tuple(spec.classes))
        bound.numbers()
        return bound

    def numbers(self) -> frozenset[int]:
        """The labels as numbers."""
        return frozenset(self._number(label) for label in self.labels)

    def _number(self, label: int | str) -> int:
        if isinstance(label, str):
            if not self.classes:
                raise UserError(f"labels={list(self.labels)} needs a data set with classes: give numbers instead")
            if label not in self.classes:
                raise UserError(f"no class is called '{label}': {did_you_mean(label, self.classes)}")
            return tuple(self.classes).index(label)
        if label < 0 or (self.classes and label >= len(self.classes)):
            raise UserError(f"labels run from 0 to {len(self.classes) - 1}, got {label}: give one of them")
        return label

    def holds(self, label: int, caption: str | None) -> bool:
        """Whether the label is one of them."""
        del caption
        return label in self.numbers()

    def pool(self, train: Samples, spec: Spec) -> Pool:
        """The prompts of every asked label: a label without training rows takes those of the vocabulary."""
        seen, unseen = self._seen(train), self._unseen(spec)
        found = {label: seen.get(label, unseen.get(label)) for label in sorted(self.numbers())}
        missing = [label for label, prompts in found.items() if prompts is None]
        if missing and not spec.classes:
            raise UserError(f"this data set has no labels, got labels={list(self.labels)}: choose by words")
        return {label: prompts or [] for label, prompts in found.items()}
