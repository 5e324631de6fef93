"""The mixture family: Gaussian components, fitted by expectation-maximisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import Diverged, UserError
from collapse_lab.models.covariance import check_covariance, log_normal, mixture_moments
from collapse_lab.models.em import EM
from collapse_lab.models.kmeans import k_means
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.types import Spec


class GaussianMixture(Replicated):
    """max Σ_x log Σ_k w_k N(x; m_k, Σ_k) by EM from k-means, as scikit-learn's class of this name does.

    Every replica goes its own number of rounds: until the mean log-likelihood changes by less than `tol`, `max_iter`
    at most. A replica of which a component loses its covariance keeps the mixture before that round; the probe
    `mixture` says how many have. Where no replica is left that has not, the fit has diverged.

    components: k.
    covariance: `full`, or `diagonal`.
    reg_covar: added to the variances. With any at all a component never collapses onto a point.

    Raises:
        UserError: numbers out of range, fewer rows than components, and what `Replicated` raises.
    """

    shares: Tensor
    means: Tensor
    roots: Tensor
    rounds: Tensor
    lost: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        replicas: int = 1,
        components: int = 2,
        covariance: str = "full",
        tol: float = 1e-5,
        max_iter: int = 2000,
        reg_covar: float = 1e-6,
    ) -> None:
        super().__init__(spec, replicas)
        for name, value, least in (("components", components, 1), ("max_iter", max_iter, 1), ("tol", tol, 0)):
            if value < least:
                raise UserError(f"model.{name} is {least} or more; got {value}")
        if not 0 <= reg_covar < float("inf"):
            raise UserError(f"model.reg_covar is a variance, 0 or more; got {reg_covar}")
        self.algorithm = EM(self.dimension, check_covariance(covariance) == "diagonal", tol, max_iter, reg_covar)
        r, d, k = self.replicas, self.dimension, components
        self.register_buffer("shares", torch.full((r, k), 1 / k).double())
        self.register_buffer("means", torch.zeros(r, k, d).double())
        self.register_buffer("roots", torch.zeros(r, k, d, d).double())
        self.register_buffer("rounds", torch.zeros(r).double())
        self.register_buffer("lost", torch.zeros(r, k, dtype=torch.bool))

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        k = self.shares.shape[1]
        self.needs_rows(len(rows), k)
        points = rows.permute(1, 2, 0).contiguous()
        fit = self.algorithm.fit(points, k_means(points, k, seeds.child("kmeans").torch()))
        if fit.lost.any(1).all():
            raise Diverged(
                f"EM lost a component in every one of {self.replicas} replicas: a covariance is singular (a component "
                "on a single point, or without any)"
            )
        shares, means, roots = fit.mixtures
        return {"shares": shares, "means": means, "roots": roots, "rounds": fit.rounds, "lost": fit.lost}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        chance = torch.rand(self.replicas, 1, n, dtype=torch.float64, generator=generator)
        noise = normal_noise((self.replicas, self.dimension, n), generator)
        below = self.shares.cumsum(1)
        drawn = self.roots[:, 0] @ noise + self.means[:, 0, :, None]
        for k in range(1, self.shares.shape[1]):
            other = self.roots[:, k] @ noise + self.means[:, k, :, None]
            drawn = torch.where(chance >= below[:, k - 1, None, None], other, drawn)
        return drawn.permute(2, 0, 1).contiguous()

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (R, k), means (R, k, d), covariances (R, k, d, d)."""
        return self.shares, self.means, self.roots @ self.roots.mT

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means (R, d) and covariances (R, d, d) of the mixtures as a whole."""
        return mixture_moments(*self.components())

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) of points (n, R, d), as (n, R)."""
        shares, means, covariances = self.components()
        parts = [
            shares[:, k].log() + log_normal(points, means[:, k], covariances[:, k]) for k in range(shares.shape[1])
        ]
        return torch.stack(parts).logsumexp(0)
