"""How far apart the samples of one set lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.interaction import in_pairs, pairs
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split

TILE = 1024
DISTANCES = ("euclidean", "cosine")


def _to_others(x: Float[Tensor, "n d"], distance: str, tile: int = TILE) -> Float[Tensor, " n"]:
    """The mean distance of each row to the others."""
    if distance not in DISTANCES:
        raise UserError(f"distance is '{distance}', and has to be one of {', '.join(DISTANCES)}")
    if distance == "cosine":
        units = directions(x)[0]
        return (1 - (units @ units.sum(0) - 1) / (len(x) - 1)).clamp(min=0)  # below by rounding, of copies
    x = x - x.mean(0)  # the shorter the rows, the less is lost in the differences of their inner products
    sums = x.new_zeros(len(x))
    for start in range(0, len(x), tile):
        end = min(start + tile, len(x))
        distances = torch.cdist(x[start:end], x[start:], compute_mode="use_mm_for_euclid_dist")
        distances[:, : end - start].fill_diagonal_(0)
        sums[start:end] += distances.sum(1)
        sums[end:] += distances[:, end - start :].sum(0)  # the pairs of two tiles are met once, and count for both
    return sums / (len(x) - 1)


def _between(x: Float[Tensor, "p d"], y: Float[Tensor, "p d"], distance: str) -> Float[Tensor, " p"]:
    if distance == "cosine":
        first, second = directions(x, y)
        return 1 - (first * second).sum(1)
    lengths: Tensor = torch.linalg.vector_norm(x - y, dim=1)
    return lengths


def pairwise_distance(x: Float[Tensor, "n d"], distance: str = "euclidean") -> float:
    """Mean over pairs i != j of |x_i - x_j|, or of 1 - x_i · x_j / (|x_i| |x_j|). float64.

    Range: [0, inf), or [0, n / (n - 1)] for cosine; its expectation does not depend on n.
    Raises: UserError as `checked`, and for another distance.
    """
    return float(_to_others(checked(x, x)[0], distance).mean())


@dataclass
class PairwiseDistance:
    """pairwise_distance of generated features, its interval from each row's influence and that of pairs.

    Its floor is that of as many held-out real rows.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200
    distance: str = "euclidean"

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`pairwise_distance`."""
        del real  # variety is a property of one set
        with torch.inference_mode():
            x, _ = checked(generated.values, generated.values)
            rows = _to_others(x, self.distance)
            i, j = pairs(len(x), rng)
            second = 2 * (_between(x[i], x[j], self.distance) - rows[i] - rows[j] + rows.mean())
        # 2, as a row is the first or the second of the n (n - 1) ordered pairs
        parts = [2 * rows, in_pairs(second, len(x))]
        return {"pairwise_distance": around(float(rows.mean()), parts, rng, self.bootstrap, low=0.0)}
