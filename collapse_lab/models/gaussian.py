"""The Gaussian family: mean and covariance of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.models.covariance import check_covariance, log_normal, square_root
from collapse_lab.models.replicated import Replicated, blocks, normal_noise
from collapse_lab.theory.arguments import Estimator
from collapse_lab.types import Spec


class Gaussian(Replicated):
    """μ̂ = x̄, Σ̂ = Σ (x - x̄)(x - x̄)ᵀ/n (`ml`) or /(n - 1) (`unbiased`); samples are μ̂ + Σ̂^½ z.

    covariance: `full`, or `diagonal`, which fits every axis apart.

    Raises:
        UserError: another estimator or covariance, and what `Replicated` raises.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, spec: Spec, *, replicas: int = 1, estimator: str = "ml", covariance: str = "full") -> None:
        super().__init__(spec, replicas)
        if estimator not in get_args(Estimator):
            raise UserError(
                f"model.estimator is ml or unbiased; got '{estimator}': {did_you_mean(estimator, get_args(Estimator))}"
            )
        self.estimator, self.axes = estimator, check_covariance(covariance)
        r, d = self.replicas, self.dimension
        self.register_buffer("mean", torch.zeros(r, d).double())
        self.register_buffer("covariance", torch.zeros(r, d, d).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        least = 2 if self.estimator == "unbiased" else 1
        self.needs_rows(len(rows), least)
        mean = rows.mean(0)
        squares = torch.zeros_like(self.covariance)
        for block in blocks(rows):
            apart = block - mean
            if self.axes_apart:
                squares.diagonal(dim1=-2, dim2=-1).add_(apart.square_().sum(0))
            else:
                squares += torch.einsum("nri,nrj->rij", apart, apart)
        return {"mean": mean, "covariance": squares / (len(rows) - least + 1)}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        noise = normal_noise((n, self.replicas, self.dimension), generator)
        if self.axes_apart:
            spread = self.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
            for block in blocks(noise):
                block.mul_(spread).add_(self.mean)
            return noise
        return torch.einsum("rij,nrj->nri", square_root(self.covariance), noise).add_(self.mean)

    @property
    def axes_apart(self) -> bool:
        """Whether no axis has to do with another."""
        return self.axes == "diagonal" or self.dimension == 1

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means (R, d) and covariances (R, d, d)."""
        return self.mean, self.covariance

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """As mixtures of one: weights (R, 1), means (R, 1, d), covariances (R, 1, d, d)."""
        return torch.ones_like(self.mean[:, :1]), self.mean[:, None], self.covariance[:, None]

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) of points (n, R, d), as (n, R); not finite where a covariance is singular."""
        return log_normal(points, self.mean, self.covariance)
