"""Keep every sample as the model generated it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from collapse_lab.types import Conditions, Extractor, Samples


class Nothing:
    """Return all generated samples unchanged (the identity)."""

    version: ClassVar[int] = 1
    changes_samples: ClassVar[bool] = False
    needs_classifier: ClassVar[bool] = False

    def plan(self, conditions: Conditions) -> Conditions:
        """Return all conditions."""
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """Return all generated samples."""
        del real, scorer, rng
        return generated
