"""Data set of points of a Gaussian with independent axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points, per_axis
from collapse_lab.types import Count


@dataclass(kw_only=True, eq=False)
class Normal(Points):
    """Draw points of N(0, diag(std²)) in d dimensions.

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows.
        reference: number of reference rows, 2 or more.
        seed: seed of the draws.
        dimension: d, 1 or more.
        std: standard deviation above 0, one number or one for each of the d axes.

    Raises:
        UserError: when the dimension is below 1, or a standard deviation is not positive.
    """

    dimension: Count = 1
    std: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._scale = per_axis("std", self.std, self.dimension)

    @property
    def width(self) -> int:
        """Return d, the dimension."""
        return self.dimension

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of N(0, diag(std²)), (n, R, d) float64."""
        return torch.randn(n, self.replicas, self.dimension, dtype=torch.float64, generator=generator) * self._scale

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the Gaussian as a mixture of one component: weight (1,), mean (1, d), covariance (1, d, d)."""
        return torch.ones(1).double(), torch.zeros(1, self.dimension).double(), self._scale.square().diag()[None]
