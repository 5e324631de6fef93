"""What every set of prompts shares: its rows, and prompts that take turns."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.types import Captions, Conditions, Samples, Spec

Pool = dict[int, list[str]]  # label -> its distinct prompts, [] where rows carry no caption


class Prompts(ABC):
    """A set of prompts that is told apart by the label and the caption of a row."""

    @abstractmethod
    def holds(self, label: int, caption: str | None) -> bool:
        """Whether a row of this label and caption (None: it has no caption) belongs to the set."""

    def bind(self, spec: Spec) -> Prompts:
        """This set with everything resolved that needs the words of a data set; may raise UserError."""
        del spec
        return self

    def member(self, samples: Samples) -> np.ndarray:
        """Boolean mask (n,): the rows that belong to this set."""
        pairs, inverse = np.unique(_pairs(samples), axis=0, return_inverse=True)
        table = samples.captions.table
        kept = [self.holds(int(label), table[text] if text >= 0 else None) for label, text in pairs]
        return np.array(kept, bool)[inverse.reshape(-1)]

    def conditions(self, n: int, train: Samples, spec: Spec) -> Conditions:
        """Conditions in number n: the labels take turns, and so do the prompts of each label.

        So in every prefix two labels, and two prompts of one label, differ by one in number at most. Prompts
        are the distinct captions of the training rows that belong to the set; a set that has none there takes
        those of the vocabulary. Raises UserError for n below 1 and for an empty set.
        """
        if n < 1:
            raise UserError(f"a set of prompts needs a positive number of samples, got {n}: raise n_samples")
        bound = self.bind(spec)
        pool = bound.pool(train, spec)
        if not pool:
            raise UserError(
                f"{bound} matches no training row and no caption of the data set, such as "
                f"{list(spec.vocabulary[:3])}: change it, or choose a data set that has them"
            )
        return _take_turns(n, pool)

    def pool(self, train: Samples, spec: Spec) -> Pool:
        """The prompts of each label of the set."""
        return self._seen(train) or self._unseen(spec)

    def _seen(self, train: Samples) -> Pool:
        pool: dict[int, list[str]] = {}
        table = train.captions.table
        for label, text in np.unique(_pairs(train), axis=0):
            caption = table[text] if text >= 0 else None
            if self.holds(int(label), caption):
                pool.setdefault(int(label), []).extend([] if caption is None else [caption])
        return pool

    def _unseen(self, spec: Spec) -> Pool:
        pool: dict[int, list[str]] = {}
        for caption in spec.vocabulary:
            label = label_of(caption, spec.classes)
            if self.holds(label, caption):
                pool.setdefault(label, []).append(caption)
        return pool


@dataclass(frozen=True)
class Everything(Prompts):
    """All rows, and the prompts of all labels that are trained on."""

    def holds(self, label: int, caption: str | None) -> bool:
        """Always true."""
        del label, caption
        return True


def has_word(text: str, word: str) -> bool:
    """Whether `word` is in `text` as a whole word, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(str(word).strip())}(?!\w)", text, re.IGNORECASE) is not None


def label_of(caption: str, classes: Sequence[str]) -> int:
    """The class whose word a caption holds, the longest of several ("ankle boot" over "boot"); else -1."""
    found = [i for i, word in enumerate(classes) if has_word(caption, word)]
    return max(found, key=lambda i: len(classes[i]), default=-1)


def shuffled(prompts: Iterable[str]) -> list[str]:
    """Prompts in a fixed order that no template or first letter leads, so that a prefix is a fair sample."""
    return sorted(prompts, key=lambda text: hashlib.sha256(text.encode()).digest())


def _pairs(samples: Samples) -> np.ndarray:
    index = samples.captions.index if samples.captions.table else np.full(len(samples), -1, np.int64)
    return np.stack([samples.labels, index], axis=1)


def _take_turns(n: int, pool: Pool) -> Conditions:
    order = sorted(pool)
    turns = {label: shuffled(prompts) for label, prompts in pool.items()}
    labels = np.array([order[i % len(order)] for i in range(n)], np.int64)
    if not any(turns.values()):
        return Conditions(labels, Captions())
    texts = []
    for i, label in enumerate(labels.tolist()):
        mine = turns[label] or [""]
        texts.append(mine[(i // len(order)) % len(mine)])
    return Conditions(labels, Captions.of(texts))
