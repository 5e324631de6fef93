"""Whether samples are read as what they were asked to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import wilson
from collapse_lab.types import Estimate, FeatureSet, Split


@dataclass
class Agreement:
    """Share of samples whose predicted class is the label that was asked for, with Wilson's interval.

    Rows without a label (-1) do not count; where no row has one, or the features come from no classifier,
    there is nothing to say and the result is empty. Its floor is a ceiling: the share on held-out real rows.

    Range: [0, 1].
    Raises: UserError where predictions and labels are not equally many.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`agreement`, or nothing."""
        del real, rng  # the labels asked for are the reference
        if generated.predicted is None:
            return {}
        if generated.predicted.shape != generated.labels.shape:
            raise UserError(
                f"{len(generated.predicted)} predicted classes were given for {len(generated.labels)} labels"
            )
        asked = generated.labels >= 0
        if not bool(asked.any()):
            return {}
        hits = (generated.predicted == generated.labels)[asked]
        return {"agreement": wilson(int(hits.sum()), len(hits))}
