"""The mixture family: Gaussian components, fitted by expectation-maximisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.errors import Diverged
from collapse_lab.models.covariance import Covariance, log_normal, mixture_moments
from collapse_lab.models.em import EM
from collapse_lab.models.kmeans import k_means
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.seeds import Seeds
from collapse_lab.types import Count, NonNegative, Spec


class GaussianMixture(Replicated):
    """max Σ_x log Σ_k w_k N(x; m_k, Σ_k) by EM from k-means, as scikit-learn's class of this name does.

    Every replica takes its own number of rounds: until the mean log-likelihood changes by less than `tol`, and
    `max_iter` at most. If a component of a replica loses its covariance, the replica keeps the mixture before that
    round; the probe `mixture` counts these replicas. If every replica has lost a component, the fit has diverged.

    Args:
        spec: The data set, of points.
        replicas: The number of independent chains, R.
        components: The number of components, k.
        covariance: `full` or `diagonal`.
        tol: EM ends once the mean log-likelihood changes by less; 0 or more.
        max_iter: The largest number of rounds.
        reg_covar: What is added to the variances; 0 or more. Above 0 no component collapses onto a point.

    Raises:
        UserError: what `Replicated` raises.
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
        replicas: Count = 1,
        components: Count = 2,
        covariance: Covariance = "full",
        tol: NonNegative = 1e-5,
        max_iter: Count = 2000,
        reg_covar: NonNegative = 1e-6,
    ) -> None:
        super().__init__(spec, replicas)
        self.algorithm = EM(self.dimension, covariance == "diagonal", tol, max_iter, reg_covar)
        r, d, k = self.replicas, self.dimension, components
        self.register_buffer("shares", torch.full((r, k), 1 / k).double())
        self.register_buffer("means", torch.zeros(r, k, d).double())
        self.register_buffer("roots", torch.zeros(r, k, d, d).double())
        self.register_buffer("rounds", torch.zeros(r).double())
        self.register_buffer("lost", torch.zeros(r, k, dtype=torch.bool))

    @property
    def least_rows(self) -> int:
        """Return k, so that every component starts at a row of its own."""
        return int(self.shares.shape[1])

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the mixtures: shares (R, k), means (R, k, d) and roots (R, k, d, d); rounds (R,) and lost (R, k).

        Raises:
            UserError: there are fewer rows than components.
            Diverged: every replica has lost a component.
        """
        k = self.shares.shape[1]
        self.needs_rows(len(rows))
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
        """Return n points of each replica, (n, R, d)."""
        chance = torch.rand(self.replicas, 1, n, dtype=torch.float64, generator=generator)
        noise = normal_noise((self.replicas, self.dimension, n), generator)
        below = self.shares.cumsum(1)
        drawn = self.roots[:, 0] @ noise + self.means[:, 0, :, None]
        for k in range(1, self.shares.shape[1]):
            other = self.roots[:, k] @ noise + self.means[:, k, :, None]
            drawn = torch.where(chance >= below[:, k - 1, None, None], other, drawn)
        return drawn.permute(2, 0, 1).contiguous()

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights (R, k), the means (R, k, d) and the covariances (R, k, d, d)."""
        return self.shares, self.means, self.roots @ self.roots.mT

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the means (R, d) and the covariances (R, d, d) of the mixtures as a whole."""
        return mixture_moments(*self.components())

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p(x) of points (n, R, d), as (n, R)."""
        shares, means, covariances = self.components()
        weighted = [
            shares[:, k].log() + log_normal(points, means[:, k], covariances[:, k]) for k in range(shares.shape[1])
        ]
        return torch.stack(weighted).logsumexp(0)
