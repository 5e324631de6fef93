"""Every sample as the model made it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from collapse_lab.types import Conditions, Extractor, Samples


class Nothing:
    """The identity: what was generated is what the pool gets."""

    version: ClassVar[int] = 1
    needs_classifier: ClassVar[bool] = False

    def plan(self, conditions: Conditions) -> Conditions:
        """All of them."""
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """All of them."""
        del real, scorer, rng
        return generated
