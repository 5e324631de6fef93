"""Measure how far apart the samples of one set lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.interaction import pair_contributions, random_pairs
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split

TILE = 1024  # rows of one tile of distances
Distance = Literal["euclidean", "cosine"]
DISTANCES: tuple[str, ...] = get_args(Distance)


def _to_others(x: Float[Tensor, "n d"], distance: str, tile: int = TILE) -> Float[Tensor, " n"]:
    """Return the mean distance of each row to the other rows."""
    if distance == "cosine":
        units = directions(x)[0]
        return (1 - (units @ units.sum(0) - 1) / (len(x) - 1)).clamp(min=0)  # because rounding puts copies below 0
    x = x - x.mean(0)  # because shorter rows lose less in the differences of their inner products
    sums = x.new_zeros(len(x))
    for start in range(0, len(x), tile):
        end = min(start + tile, len(x))
        distances = torch.cdist(x[start:end], x[start:], compute_mode="use_mm_for_euclid_dist")
        distances[:, : end - start].fill_diagonal_(0)
        sums[start:end] += distances.sum(1)
        sums[end:] += distances[:, end - start :].sum(0)  # a pair of two tiles is computed once and counts for both
    return sums / (len(x) - 1)


def _between(x: Float[Tensor, "p d"], y: Float[Tensor, "p d"], distance: str) -> Float[Tensor, " p"]:
    if distance == "cosine":
        first, second = directions(x, y)
        return 1 - (first * second).sum(1)
    lengths: Tensor = torch.linalg.vector_norm(x - y, dim=1)
    return lengths


def pairwise_distance(x: Float[Tensor, "n d"], distance: str = "euclidean") -> float:
    """Return the mean over pairs i != j of |x_i - x_j|, or of 1 - x_i · x_j / (|x_i| |x_j|), in float64.

    Its expectation does not depend on n.

    Args:
        x: features (n, d).
        distance: "euclidean" for the first formula, "cosine" for the second.

    Returns:
        A distance in [0, inf), or in [0, n / (n - 1)] for cosine.

    Raises:
        UserError: as `validated`, or an unknown distance.
    """
    if distance not in DISTANCES:
        raise UserError(f"distance is '{distance}', and has to be one of {', '.join(DISTANCES)}")
    return float(_to_others(validated_float64(x, x)[0], distance).mean())


@dataclass
class PairwiseDistance:
    """Measure `pairwise_distance` of generated features.

    The interval comes from the influence of each row and of pairs of rows. The floor is the distance of as many
    held-out real rows.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
        distance: the distance of two rows.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200
    distance: Distance = "euclidean"

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `pairwise_distance`."""
        del real  # because variety is a property of one set
        with torch.inference_mode():
            x, _ = validated_float64(generated.values, generated.values)
            means = _to_others(x, self.distance)
            i, j = random_pairs(len(x), rng)
            second = 2 * (_between(x[i], x[j], self.distance) - means[i] - means[j] + means.mean())
        # 2, because a row is the first or the second of the n (n - 1) ordered pairs
        contributions = [2 * means, pair_contributions(second, len(x))]
        return {"pairwise_distance": around(float(means.mean()), contributions, rng, self.bootstrap, low=0.0)}
