"""A linear relation between d standard normal inputs and a noisy label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points
from collapse_lab.errors import UserError


@dataclass(kw_only=True, eq=False)
class Regression(Points):
    """y = xᵀw + noise, x of N(0, I) in d dimensions, w = (1, …, 1)/√d; a point is (x, y).

    noise: variance of the noise.

    Raises:
        UserError: a dimension below 1, or a noise that is not positive.
    """

    dimension: int = 10
    noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension < 1:
            raise UserError(f"dataset.dimension is 1 or more; got {self.dimension}")
        if not 0 < self.noise < math.inf:
            raise UserError(f"dataset.noise is a variance above 0; got {self.noise}")

    @property
    def width(self) -> int:
        """d + 1: the inputs, then the label."""
        return self.dimension + 1

    @property
    def coefficients(self) -> Tensor:
        """w, (d,)."""
        return torch.full((self.dimension,), self.dimension**-0.5, dtype=torch.float64)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Rows of inputs and label."""
        drawn = torch.randn(n, self.replicas, self.width, dtype=torch.float64, generator=generator)
        drawn[..., -1] *= math.sqrt(self.noise)
        drawn[..., -1] += drawn[..., :-1] @ self.coefficients
        return drawn
