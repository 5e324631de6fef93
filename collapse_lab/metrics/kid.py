"""Squared maximum mean discrepancy under a cubic kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.kernels import Discrepancy, discrepancy
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split


def _kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    base = ((x / x.shape[1]) @ y.T).add_(1)
    return base.square().mul_(base)


def _itself(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    return ((x**2).sum(1) / x.shape[1] + 1) ** 3


def _discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Discrepancy:
    return discrepancy(x, y, _kernel, _itself)


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j, k(a, b) = (a·b/d + 1)³.

    The third mean is over all n m pairs. The unbiased estimate of squared MMD from every pair of rows, in
    float64. The customary mean over random subsets of 1,000 rows estimates the same number with more noise.

    Range: (-inf, inf): unbiased, so around 0, and below it half of the time, for sets of one distribution.
    Raises: UserError as `checked`.
    Source: Bińkowski et al., arXiv:1801.01401.
    """
    return _discrepancy(*checked(x, y)).value


@dataclass
class KID:
    """kernel_distance of generated and reference features, its interval from each row's influence."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`kid`."""
        with torch.inference_mode():
            value, *influence = _discrepancy(*checked(generated.values, real.values))
        return {"kid": around(value, influence, rng, self.bootstrap)}
