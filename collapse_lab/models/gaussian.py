"""The Gaussian family: mean and covariance of the rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.models.covariance import Covariance, log_normal, square_root
from collapse_lab.models.replicated import Replicated, blocks, normal_noise
from collapse_lab.seeds import Seeds
from collapse_lab.theory.arguments import Estimator
from collapse_lab.types import Count, Spec


class Gaussian(Replicated):
    """μ̂ = x̄, Σ̂ = Σ (x - x̄)(x - x̄)ᵀ/n (`ml`) or /(n - 1) (`unbiased`); samples are μ̂ + Σ̂^½ z.

    Args:
        spec: The data set, of points.
        replicas: The number of independent chains, R.
        estimator: `ml` or `unbiased`.
        covariance: `full`, or `diagonal`, which fits each axis by itself.

    Raises:
        UserError: what `Replicated` raises.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(
        self, spec: Spec, *, replicas: Count = 1, estimator: Estimator = "ml", covariance: Covariance = "full"
    ) -> None:
        super().__init__(spec, replicas)
        self.estimator, self.axes = estimator, covariance
        r, d = self.replicas, self.dimension
        self.register_buffer("mean", torch.zeros(r, d).double())
        self.register_buffer("covariance", torch.zeros(r, d, d).double())

    @property
    def least_rows(self) -> int:
        """Return 2 where the variance is unbiased, else 1."""
        return 2 if self.estimator == "unbiased" else 1

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the means (R, d) and the covariances (R, d, d).

        Raises:
            UserError: one row, and the estimator is unbiased.
        """
        self.needs_rows(len(rows))
        mean = rows.mean(0)
        squares = torch.zeros_like(self.covariance)
        for block in blocks(rows):
            apart = block - mean
            if self.axes_apart:
                squares.diagonal(dim1=-2, dim2=-1).add_(apart.square_().sum(0))
            else:
                squares += torch.einsum("nri,nrj->rij", apart, apart)
        return {"mean": mean, "covariance": squares / (len(rows) - self.least_rows + 1)}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n points of each replica, (n, R, d)."""
        noise = normal_noise((n, self.replicas, self.dimension), generator)
        if self.axes_apart:
            spread = self.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
            for block in blocks(noise):
                block.mul_(spread).add_(self.mean)
            return noise
        return torch.einsum("rij,nrj->nri", square_root(self.covariance), noise).add_(self.mean)

    @property
    def axes_apart(self) -> bool:
        """Return whether the axes are independent of each other."""
        return self.axes == "diagonal" or self.dimension == 1

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the means (R, d) and the covariances (R, d, d)."""
        return self.mean, self.covariance

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mixtures of one component: weights (R, 1), means (R, 1, d), covariances (R, 1, d, d)."""
        return torch.ones_like(self.mean[:, :1]), self.mean[:, None], self.covariance[:, None]

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p(x) of points (n, R, d), as (n, R); -inf where a covariance is singular."""
        return log_normal(points, self.mean, self.covariance)
