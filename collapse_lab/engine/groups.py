"""The groups of a prompt set, for metrics that look at each of them: classes, or prompts without a class."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch

from collapse_lab.engine.keys import digest
from collapse_lab.engine.lab import Lab
from collapse_lab.types import FeatureSet, Metric, Rows, Samples

NAMED = 64  # groups that each line of a ledger names


class Groups:
    """Number the groups of one prompt set.

    The groups are the labels. Where some prompt has no label, they are the prompts, numbered in the order in which
    they are first sampled; a real row belongs to the prompt that is its caption.

    Args:
        lab: what the run is made of.
        subset: the prompt set.
        n: the number of its samples.
    """

    def __init__(self, lab: Lab, subset: str, n: int) -> None:
        self._conditions, self._classes = lab.conditions(subset, n), lab.dataset.spec.classes

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Return the prompts that are the groups; none where the groups are labels."""
        if not self._conditions.captions.table or (self._conditions.labels >= 0).all():
            return ()
        return tuple(dict.fromkeys(self._conditions.captions.texts()))

    @property
    def named(self) -> list[str] | str:
        """Return what a fingerprint holds: the prompts or the words of the labels, or a digest where they are many."""
        names = self.prompts or self._classes
        return list(names) if len(names) <= NAMED else digest(names, 32)

    @property
    def digest(self) -> str:
        """Return a digest of the prompts in their order, empty where the groups are labels."""
        return digest(self.prompts, 32) if self.prompts else ""

    @property
    def count(self) -> int:
        """Return the number of groups, 1 or more."""
        return len(self.prompts) or len(set(self._conditions.labels.tolist()))

    def of_samples(self, features: FeatureSet) -> FeatureSet:
        """Return features of samples with their groups."""
        return self._numbered(features, self._conditions.captions.texts() if self.prompts else [])

    def of_rows(self, features: FeatureSet, rows: Samples[Rows]) -> FeatureSet:
        """Return features of real rows with their groups, -1 for a row with another caption."""
        return self._numbered(features, rows.captions.texts() if rows.captions.table else [""] * len(rows))

    def _numbered(self, features: FeatureSet, texts: list[str]) -> FeatureSet:
        if not self.prompts:
            return features
        number = {prompt: i for i, prompt in enumerate(self.prompts)}
        return replace(features, groups=torch.tensor([number.get(text, -1) for text in texts], dtype=torch.int64))


def is_grouped(metric: Metric) -> bool:
    """Return whether a metric looks at each group of a prompt set, as its class says."""
    return bool(getattr(metric, "grouped", False))
