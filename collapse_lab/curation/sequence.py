"""Apply several curation steps one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.engine.oversampling import enlarged
from collapse_lab.engine.view import gathers
from collapse_lab.errors import UserError
from collapse_lab.types import Conditions, Curation, Extractor, Samples


class InOrder:
    """Apply the steps in order: x -> s_k(… s_2(s_1(x))).

    Each step gets what the step before it returned.

    Args:
        steps: the curation steps s_1, …, s_k. An empty sequence changes nothing.
    """

    def __init__(self, steps: Sequence[Curation]) -> None:
        self.steps = tuple(steps)

    @property
    def version(self) -> int:
        """Return a number that rises whenever the version of a step rises."""
        return 1 + sum(step.version for step in self.steps)

    @property
    def changes_samples(self) -> bool:
        """Return whether at least one step changes samples."""
        return any(step.changes_samples for step in self.steps)

    @property
    def gathers(self) -> bool:
        """Return whether every step takes rows that are gathered when they are asked for."""
        return all(map(gathers, self.steps))

    @property
    def needs_classifier(self) -> bool:
        """Return whether at least one step needs a classifier."""
        return any(step.needs_classifier for step in self.steps)

    @property
    def scores_in(self) -> str | None:
        """Return the feature space that scores samples, None where no step needs one.

        Raises:
            UserError: steps need unlike ones, or one needs a classifier of its own.
        """
        spaces = {space for step in self.steps if (space := getattr(step, "scores_in", None)) is not None}
        if len(spaces) + self.needs_classifier > 1:
            raise UserError(
                "the steps of a curation score samples in one way; got several: "
                f"{', '.join([*sorted(spaces), *(['a classifier'] if self.needs_classifier else [])])}"
            )
        return next(iter(spaces), None)

    def check_conditions(self, conditions: Conditions) -> None:
        """Refuse conditions that a step refuses.

        Raises:
            UserError: a step refuses what the steps before it leave.
        """
        for step in self.steps:
            if (check := getattr(step, "check_conditions", None)) is not None:
                check(conditions)
            conditions = step.plan(conditions)

    def plan(self, conditions: Conditions) -> Conditions:
        """Return the conditions that remain after the last step."""
        for step in self.steps:
            conditions = step.plan(conditions)
        return conditions

    def enlarge(self, conditions: Conditions) -> Conditions:
        """Return the conditions to sample so that these remain after the last step; these come first."""
        for step in reversed(self.steps):
            conditions = enlarged(step, conditions)
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """Return the samples that remain after the last step."""
        for step in self.steps:
            generated = step.apply(generated, real, scorer, rng)
        return generated
