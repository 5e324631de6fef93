"""Measure how often samples are classified as the label that they were generated for."""

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
    """Measure the share of samples whose predicted class is their requested label, with Wilson's interval.

    Rows without a label (-1) do not count. The result is empty where no row has a label, or where the features come
    from no classifier. Its floor is an upper limit: the share on held-out real rows. The share lies in [0, 1].

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    against: ClassVar[Split] = "reference"
    needs: ClassVar[str] = "predicted"
    features: Sequence[str] | None = None

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `agreement`, or nothing where it cannot be measured.

        Raises:
            UserError: the numbers of predictions and of labels differ.
        """
        del real, rng  # the requested labels are the reference
        if generated.predicted is None:
            return {}
        if generated.predicted.shape != generated.labels.shape:
            raise UserError(
                f"{len(generated.predicted)} predicted classes were given for {len(generated.labels)} labels: "
                "the feature extractor should predict one class for each sample"
            )
        labelled = generated.labels >= 0
        if not bool(labelled.any()):
            return {}
        hits = (generated.predicted == generated.labels)[labelled]
        return {"agreement": wilson(int(hits.sum()), len(hits))}
