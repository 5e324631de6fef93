"""Prompt set of some labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.prompts.base import Prompts, PromptsByLabel
from collapse_lab.types import Rows, Samples, Spec


@dataclass(frozen=True)
class Labels(Prompts):
    """Select the rows of some labels.

    Args:
        labels: labels, each given by its number or by the word of its class; at least one.
        classes: the word of each label of the data set; `bind` fills them in.

    Raises:
        UserError: when there is no label.
    """

    labels: Sequence[int | str]
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            raise UserError("Labels should name at least one label, got none: give numbers or words of classes")

    def bind(self, spec: Spec) -> Labels:
        """Return a copy with the words of this data set.

        Raises:
            UserError: when a label is unknown.
        """
        bound = replace(self, classes=tuple(spec.classes))
        bound.numbers()
        return bound

    def numbers(self) -> frozenset[int]:
        """Return the labels as numbers.

        Raises:
            UserError: when a label is unknown, or is a word where the data set has no classes.
        """
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
        """Return whether the label is one of the labels."""
        del caption
        return label in self.numbers()

    def by_label(self, train: Samples[Rows], spec: Spec) -> PromptsByLabel:
        """Return the prompts of every label; a label without training rows takes its prompts from the vocabulary.

        Raises:
            UserError: when the data set has no labels.
        """
        of_rows, of_vocabulary = self._of_rows(train), self._of_vocabulary(spec)
        by_label = {label: of_rows.get(label, of_vocabulary.get(label)) for label in sorted(self.numbers())}
        missing = [label for label, prompts in by_label.items() if prompts is None]
        if missing and not spec.classes:
            raise UserError(f"this data set has no labels, got labels={list(self.labels)}: use the prompt set Words")
        return {label: prompts or [] for label, prompts in by_label.items()}
