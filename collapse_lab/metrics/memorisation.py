"""Measure whether generated rows are copies of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import wilson
from collapse_lab.metrics.neighbours import nearest_in
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Comparison, Estimate, FeatureSet, Split

NEAR = 1 / 3  # the greatest d1 / d2 of a near copy


def copy_flags(
    generated: Float[Tensor, "n d"], train: Float[Tensor, "m d"]
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Return for each generated row whether it is authentic, and whether it is a near copy; see `memorisation`.

    Args:
        generated: generated features (n, d).
        train: features of the training rows (m, d).

    Raises:
        UserError: all training rows are equal.
    """
    # A training row that occurs twice would be its own second nearest, so no copy of it would count as near:
    # keep each distinct row once
    distinct = torch.unique(train, dim=0)
    if len(distinct) < 2:
        raise UserError(
            "all rows of the training set are the same in these features, so no distance between them says "
            "what near is: take other features"
        )
    squares, index = nearest_in(generated, distinct, 2)
    hit, back = torch.unique(index[:, 0], return_inverse=True)
    apart = nearest_in(distinct[hit], distinct, 2)[0][:, 1]  # the second nearest, since the nearest is the row itself
    return squares[:, 0] > apart[back], squares[:, 0] <= NEAR**2 * squares[:, 1]


def memorisation(generated: Float[Tensor, "n d"], train: Float[Tensor, "m d"]) -> dict[str, float]:
    """Return two shares of generated rows g, with t1 and t2 the nearest and second nearest training row of g.

    authenticity = mean over g of 1[|g - t1| > distance of t1 to its nearest other training row]
    near_copies  = mean over g of 1[|g - t1| <= |g - t2| / 3]; an exact copy is a near copy

    Equal training rows count as one row, so a copy of a row that occurs twice is a copy.

    Args:
        generated: generated features (n, d).
        train: features of the training rows (m, d).

    Returns:
        Shares in [0, 1]. A generator that copies has authenticity 0 and near_copies 1. Held-out rows have an
        authenticity of about 1/2 to 1, and near_copies near 0 in many dimensions: compare with the floor.

    Raises:
        UserError: as `validated`, or all training rows are equal.

    Source: Alaa et al., arXiv:2102.08921, section 4.3; Yoon et al., "Diffusion probabilistic models generalize when
    they fail to memorize" (2023) and arXiv:2310.02664, section 2.
    """
    authentic, near = copy_flags(*validated(generated, train))
    return {"authenticity": float(authentic.double().mean()), "near_copies": float(near.double().mean())}


@dataclass
class Memorisation:
    """Measure `memorisation` of generated features against the training rows, with Wilson's intervals.

    The training rows are fixed, because they are what the model may have memorised. So the intervals describe other
    rows that the same model generates. The floor is that of held-out real rows.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "train"
    features: Sequence[str] | None = None

    def check_run(self, comparison: Comparison) -> None:
        """Refuse training rows that are all the same."""
        if not comparison.varied:
            raise UserError("all real rows are the same, so no distance between them says what near is: leave it out")

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `authenticity` and `near_copies`."""
        del rng  # because Wilson's interval draws nothing
        with torch.inference_mode():
            flags = copy_flags(*validated(generated.values, real.values))
        names = ("authenticity", "near_copies")
        return {name: wilson(int(flag.sum()), len(flag)) for name, flag in zip(names, flags, strict=True)}
