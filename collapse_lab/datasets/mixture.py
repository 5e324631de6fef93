"""Data set of points of a mixture of Gaussians with independent axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points, per_axis
from collapse_lab.errors import UserError


@dataclass(kw_only=True, eq=False)
class Mixture(Points):
    """Draw points of Σ_k w_k N(m_k, diag(std²)), with the same `std` in every component.

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows.
        reference: number of reference rows, 2 or more.
        seed: seed of the draws.
        means: m, (k, d).
        std: standard deviation above 0, one number or one for each of the d axes.
        weights: w, (k,), 0 or more and of sum 1; None gives every component the same weight.

    Raises:
        UserError: when means differ in length or are not finite, a standard deviation is not positive, or there is not
            one weight for each component, 0 or more and of sum 1.
    """

    means: Sequence[Sequence[float]] = ((-2.0, 0.0), (2.0, 0.0))
    std: float | Sequence[float] = 1.0
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.means or len({len(mean) for mean in self.means}) != 1:
            raise UserError(f"dataset.means is a list of points of one dimension; got {self.means}")
        super().__post_init__()
        if not all(math.isfinite(number) for mean in self.means for number in mean):
            raise UserError(f"dataset.means holds finite numbers; got {self.means}")
        k = len(self.means)
        shares = [1 / k] * k if self.weights is None else list(self.weights)
        if len(shares) != k or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-9:
            raise UserError(f"dataset.weights is a share for each of the {k} means, of sum 1; got {self.weights}")
        self._weights = torch.tensor(shares, dtype=torch.float64)
        self._means = torch.tensor(self.means, dtype=torch.float64)
        self._scale = per_axis("std", self.std, self.width)

    @property
    def width(self) -> int:
        """Return d, the dimension of the means."""
        return len(self.means[0])

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of the mixture, (n, R, d) float64; every replica chooses its own components."""
        chosen = torch.multinomial(self._weights, n * self.replicas, replacement=True, generator=generator)
        noise = torch.randn(n, self.replicas, self.width, dtype=torch.float64, generator=generator)
        return self._means[chosen].view_as(noise) + noise * self._scale

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights (k,), the means (k, d) and the covariances (k, d, d), all float64."""
        k = len(self._weights)
        return self._weights, self._means, self._scale.square().diag().expand(k, -1, -1)
