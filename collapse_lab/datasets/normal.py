"""A Gaussian with independent axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points, per_axis


@dataclass(kw_only=True, eq=False)
class Normal(Points):
    """N(0, diag(std²)) in d = `dimension` dimensions; `std` is one number, or one for each axis.

    Raises:
        UserError: a dimension below 1, or a standard deviation that is not positive.
    """

    dimension: int = 1
    std: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._scale = per_axis("std", self.std, self.dimension)

    @property
    def width(self) -> int:
        """d, the dimension."""
        return self.dimension

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Rows of N(0, diag(std²))."""
        return torch.randn(n, self.replicas, self.dimension, dtype=torch.float64, generator=generator) * self._scale

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """As a mixture of one: weight (1,), mean (1, d), covariance (1, d, d)."""
        return torch.ones(1).double(), torch.zeros(1, self.dimension).double(), self._scale.square().diag()[None]
