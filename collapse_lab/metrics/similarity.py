"""Measure how alike the samples of two models are for the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split


def _cosines(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    if len(x) != len(y):
        raise UserError(f"similarity pairs samples of the same prompts, and was given {len(x)} and {len(y)}")
    first, second = directions(*validated_float64(x, y))
    return (first * second).sum(1)


def similarity(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Return the mean over i of cos(x_i, y_i), in float64.

    Args:
        x: features of one model's samples (n, d).
        y: features of another model's samples for the same n prompts, (n, d).

    Returns:
        A number in [-1, 1].

    Raises:
        UserError: as `validated`, or the numbers of rows differ.

    Source: arXiv:2505.21677, which takes sentence embeddings of the texts of two models.
    """
    return float(_cosines(x, y).mean())


@dataclass
class Similarity:
    """Measure `similarity` of the samples of two members of a population in the same generation.

    A line of the ledger has `similarity_<name>` for each member before its own in the order of the population. So each
    pair is measured once. The interval is over prompts.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = False
    compares: ClassVar[bool] = False
    between: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `similarity` of one member's samples and another's, which stand in the place of real rows."""
        cosines = _cosines(generated.values, real.values)
        return {"similarity": around(float(cosines.mean()), [cosines], rng, self.bootstrap, low=-1.0, high=1.0)}
