"""Squared maximum mean discrepancy under a cubic kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet

BLOCK = 2048  # rows of one block of the kernel matrix


def _kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    base = ((x / x.shape[1]) @ y.T).add_(1)
    return base.square().mul_(base)


def _row_and_column_sums(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    rows, columns = x.new_zeros(len(x)), x.new_zeros(len(y))
    for start in range(0, len(x), BLOCK):
        block = _kernel(x[start : start + BLOCK], y)
        rows[start : start + BLOCK] = block.sum(1)
        columns += block.sum(0)
    return rows, columns


def _mean_to_others(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    itself = ((x**2).sum(1) / x.shape[1] + 1) ** 3
    return (_row_and_column_sums(x, x)[0] - itself) / (len(x) - 1)


def _discrepancy(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " m"]]:
    """The discrepancy, and the influence of each row of x and of y on it."""
    within_x, within_y = _mean_to_others(x), _mean_to_others(y)
    rows, columns = _row_and_column_sums(x, y)
    across_x, across_y = rows / len(y), columns / len(x)
    value = float(within_x.mean() + within_y.mean() - 2 * across_x.mean())
    return value, 2 * (within_x - across_x), 2 * (within_y - across_y)


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j, k(a, b) = (a·b/d + 1)³.

    The third mean is over all n m pairs. The unbiased estimate of squared MMD from every pair of rows, in
    float64. The customary mean over random subsets of 1,000 rows estimates the same number with more noise.

    Range: (-inf, inf): unbiased, so around 0, and below it half of the time, for sets of one distribution.
    Raises: UserError as `checked`.
    Source: Bińkowski et al., arXiv:1801.01401.
    """
    return _discrepancy(*checked(x, y))[0]


class KID:
    """kernel_distance of generated and reference features, its interval from each row's influence."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True

    def __init__(self, features: Sequence[str] | None = None, bootstrap: int = 200) -> None:
        self.features = features
        self.bootstrap = bootstrap

    def __call__(
        self, generated: FeatureSet, reference: FeatureSet, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """`kid`."""
        with torch.inference_mode():
            value, *influence = _discrepancy(*checked(generated.values, reference.values))
        return {"kid": around(value, influence, rng, self.bootstrap)}
