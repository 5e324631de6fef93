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
from collapse_lab.metrics.pairs import valid
from collapse_lab.types import Estimate, FeatureSet, Split


def _discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Discrepancy:
    def cubic(products: Tensor) -> Tensor:
        base = products.div_(x.shape[1]).add_(1)
        return base.square().mul_(base)

    return discrepancy(x, y, cubic)


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j, k(a, b) = (a·b/d + 1)³.

    The third mean is over all n m pairs. The unbiased estimate of squared MMD from every pair of rows. The customary
    mean over random subsets of 1,000 rows estimates the same number with more noise.

    Range: (-inf, inf): unbiased, so around 0, and below it half of the time, for sets of one distribution.
    Raises: UserError as `valid`.
    Source: Bińkowski et al., arXiv:1801.01401.
    """
    return _discrepancy(*valid(x, y)).value


@dataclass
class KID:
    """kernel_distance of generated and reference features, its interval from what each row contributes."""

    version: ClassVar[int] = 2
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`kid`."""
        with torch.inference_mode():
            found = _discrepancy(*valid(generated.values, real.values))
        return {"kid": around(found.value, found.contributions, rng, self.bootstrap)}
