"""Base class of prompt sets that the user wrote: a list of prompts in a fixed order."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Prompts, check_number, label_of
from collapse_lab.types import Captions, Conditions, RealData, Rows, Samples, Spec


class Listed(Prompts):
    """Give the prompts of a list in its order, and start again when they run out.

    A prompt that is also a caption of training rows takes the label of those rows, the smallest one where there are
    several. Any other prompt takes the label of the class whose word it contains, or -1.

    A set of which no reference row has a prompt as its caption has no real reference. All rows belong to it then, and
    its samples are compared with those of generation 0, unless it is the set that is retrained on.
    """

    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def prompts(self) -> tuple[str, ...]:
        """Return the prompts, each once, in their order."""

    def bind(self, spec: Spec) -> Listed:
        """Return this set, after its prompts are read.

        Raises:
            UserError: the prompts cannot be read.
        """
        del spec
        _ = self.prompts
        return self

    def holds(self, label: int, caption: str | None) -> bool:
        """Return whether the caption is one of the prompts."""
        del label
        return caption in self._distinct

    def member(self, samples: Samples[Rows]) -> np.ndarray:
        """Return a mask (n,) bool of the rows whose caption is a prompt; all rows where there is no such row."""
        mask = super().member(samples)
        return mask if mask.any() else np.ones(len(samples), bool)

    def has_reference(self, real: RealData[Rows]) -> bool:
        """Return whether any reference row has one of the prompts as its caption."""
        return bool(super().member(real.reference).any())

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return conditions with the first n prompts, repeated from the start if n is larger.

        Raises:
            UserError: n is below 1.
        """
        check_number(n)
        known: dict[str, int] = {}
        for label, prompts in self._of_rows(train).items():
            for prompt in prompts:
                known.setdefault(prompt, label)
        used = self.prompts[:n]
        labels = [known.get(text, label_of(text, spec.classes)) for text in used]
        numbers = np.arange(n) % len(used)
        return Conditions(np.array(labels, np.int64)[numbers], Captions.of([used[i] for i in numbers]))

    @cached_property
    def _distinct(self) -> frozenset[str]:
        return frozenset(self.prompts)


def each_once(prompts: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return the prompts.

    Args:
        prompts: the prompts.
        where: where they were written, as messages name it.

    Raises:
        UserError: a prompt is there twice, because it would be sampled twice as often as the others.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt in seen:
            raise UserError(f"{where} gives the prompt '{prompt}' twice: remove one of the two")
        seen.add(prompt)
    return prompts
