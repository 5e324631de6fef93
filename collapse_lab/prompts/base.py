"""Base class of all prompt sets: the rows that belong to a set, and its prompts in turns."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.types import Captions, Conditions, Rows, Samples, Spec

PromptsByLabel = dict[int, list[str]]  # label -> its distinct prompts, [] where rows carry no caption


class Prompts(ABC):
    """Select rows by their label and their caption, and give the prompts of the selected rows."""

    @abstractmethod
    def holds(self, label: int, caption: str | None) -> bool:
        """Return whether a row with this label and this caption belongs to the set.

        Args:
            label: label of the row, -1 where it has none.
            caption: caption of the row, None where it has none.
        """

    def bind(self, spec: Spec) -> Prompts:
        """Return this set after everything that depends on the data set is checked and filled in.

        Args:
            spec: shape, classes and vocabulary of the data set.

        Raises:
            UserError: when the set does not fit the data set.
        """
        del spec
        return self

    def member(self, samples: Samples[Rows]) -> np.ndarray:
        """Return a mask (n,) bool of the rows that belong to this set."""
        pairs, inverse = np.unique(_pairs(samples), axis=0, return_inverse=True)
        table = samples.captions.table
        belongs = [self.holds(int(label), table[text] if text >= 0 else None) for label, text in pairs]
        return np.array(belongs, bool)[inverse.reshape(-1)]

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return n conditions: the labels take turns, and so do the prompts of each label.

        So in every prefix, the counts of two labels differ by at most one, and so do the counts of two prompts of one
        label. The prompts are the distinct captions of the training rows that belong to the set. If no training row
        belongs to the set, the prompts are the captions of the vocabulary that belong to it.

        Args:
            n: number of conditions, 1 or more.
            train: the training rows.
            spec: shape, classes and vocabulary of the data set.

        Raises:
            UserError: when n is below 1, or neither a row nor a caption belongs to the set.
        """
        check_number(n)
        bound = self.bind(spec)
        by_label = bound.by_label(train, spec)
        if not by_label:
            raise UserError(
                f"{bound} matches no training row and no caption of the data set, such as "
                f"{list(spec.vocabulary[:3])}: change the prompt set, or choose a data set with such captions"
            )
        return _take_turns(n, by_label)

    def by_label(self, train: Samples[Rows], spec: Spec) -> PromptsByLabel:
        """Return the prompts of each label of the set.

        Args:
            train: the training rows.
            spec: shape, classes and vocabulary of the data set.

        Returns:
            Label -> distinct prompts; empty where nothing belongs to the set.
        """
        return self._of_rows(train) or self._of_vocabulary(spec)

    def _of_rows(self, train: Samples[Rows]) -> PromptsByLabel:
        by_label: PromptsByLabel = {}
        table = train.captions.table
        for label, text in np.unique(_pairs(train), axis=0):
            caption = table[text] if text >= 0 else None
            if self.holds(int(label), caption):
                by_label.setdefault(int(label), []).extend([] if caption is None else [caption])
        return by_label

    def _of_vocabulary(self, spec: Spec) -> PromptsByLabel:
        by_label: PromptsByLabel = {}
        for caption in spec.vocabulary:
            label = label_of(caption, spec.classes)
            if self.holds(label, caption):
                by_label.setdefault(label, []).append(caption)
        return by_label


@dataclass(frozen=True)
class Everything(Prompts):
    """Select all rows, and give the prompts of all labels of the training rows."""

    def holds(self, label: int, caption: str | None) -> bool:
        """Return True."""
        del label, caption
        return True


def check_number(n: int) -> None:
    """Refuse a number of samples below 1.

    Raises:
        UserError: n is below 1.
    """
    if n < 1:
        raise UserError(f"a prompt set needs a positive number of samples, got {n}: raise n_samples")


def has_word(text: str, word: str) -> bool:
    """Return whether `text` has `word` as a whole word; upper and lower case are the same."""
    return re.search(rf"(?<!\w){re.escape(str(word).strip())}(?!\w)", text, re.IGNORECASE) is not None


def label_of(caption: str, classes: Sequence[str]) -> int:
    """Return the label of the class whose word a caption contains.

    Args:
        caption: the caption.
        classes: the word of each label.

    Returns:
        The label; that of the longest word where there are several ("ankle boot" before "boot"); -1 where there is
        none.
    """
    labels = [label for label, word in enumerate(classes) if has_word(caption, word)]
    return max(labels, key=lambda label: len(classes[label]), default=-1)


def shuffled(prompts: Iterable[str]) -> list[str]:
    """Return prompts in the order of their hashes, so that a prefix is a fair sample of templates and words."""
    return sorted(prompts, key=lambda text: hashlib.sha256(text.encode()).digest())


def _pairs(samples: Samples[Rows]) -> np.ndarray:
    index = samples.captions.index if samples.captions.table else np.full(len(samples), -1, np.int64)
    return np.stack([samples.labels, index], axis=1)


def _take_turns(n: int, by_label: PromptsByLabel) -> Conditions:
    order = sorted(by_label)
    turns = {label: shuffled(prompts) for label, prompts in by_label.items()}
    labels = np.array([order[i % len(order)] for i in range(n)], np.int64)
    if not any(turns.values()):
        return Conditions(labels, Captions())
    texts = []
    for i, label in enumerate(labels.tolist()):
        prompts = turns[label] or [""]
        texts.append(prompts[(i // len(order)) % len(prompts)])
    return Conditions(labels, Captions.of(texts))
