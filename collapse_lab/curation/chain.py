"""Several steps of curation, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.types import Conditions, Curation, Extractor, Samples


class InOrder:
    """x -> s_k(… s_2(s_1(x))): each step sees what the one before it left."""

    def __init__(self, steps: Sequence[Curation]) -> None:
        self.steps = tuple(steps)

    @property
    def version(self) -> int:
        """Raised when a step's is."""
        return 1 + sum(step.version for step in self.steps)

    @property
    def needs_classifier(self) -> bool:
        """Whether a step does."""
        return any(step.needs_classifier for step in self.steps)

    def plan(self, conditions: Conditions) -> Conditions:
        """What remains after the last step."""
        for step in self.steps:
            conditions = step.plan(conditions)
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """What remains after the last step."""
        for step in self.steps:
            generated = step.apply(generated, real, scorer, rng)
        return generated
