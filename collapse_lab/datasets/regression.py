"""Data set of d standard normal inputs and a noisy label that depends linearly on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points
from collapse_lab.types import Count, Positive


@dataclass(kw_only=True, eq=False)
class Regression(Points):
    """Draw points (x, y) with y = xᵀw + noise, x of N(0, I) in d dimensions and w = (1, …, 1)/√d.

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows.
        reference: number of reference rows, 2 or more.
        seed: seed of the draws.
        dimension: d, 1 or more.
        noise: variance of the noise, above 0.

    Raises:
        UserError: when there are fewer than 2 reference rows.
    """

    dimension: Count = 10
    noise: Positive = 1.0

    @property
    def width(self) -> int:
        """Return d + 1: the inputs, then the label."""
        return self.dimension + 1

    @property
    def coefficients(self) -> Tensor:
        """Return w, (d,) float64."""
        return torch.full((self.dimension,), self.dimension**-0.5, dtype=torch.float64)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of inputs and label, (n, R, d + 1) float64."""
        points = torch.randn(n, self.replicas, self.width, dtype=torch.float64, generator=generator)
        points[..., -1] *= math.sqrt(self.noise)
        points[..., -1] += points[..., :-1] @ self.coefficients
        return points
