"""The kernel density family: a Gaussian on every row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.seeds import Seeds
from collapse_lab.types import Count, Positive, Spec

Rule = Literal["scott", "silverman"]
CHUNK = 2**22  # distances that are computed at a time


class KDE(Replicated):
    """p̂(x) = 1/n Σ_i Π_j N(x_j; x_ij, h_j²).

    Args:
        spec: The data set, of points.
        replicas: The number of independent chains, R.
        bandwidth: h as a number above 0, the same on every axis, or a rule for h_j = s_j · factor, s_j² the unbiased
            variance of axis j: `scott` has the factor n^(-1/(d + 4)), `silverman` (n (d + 2)/4)^(-1/(d + 4)).

    Raises:
        UserError: what `Replicated` raises.
    """

    points: Tensor
    width: Tensor

    def __init__(self, spec: Spec, *, replicas: Count = 1, bandwidth: Positive | Rule = "scott") -> None:
        super().__init__(spec, replicas)
        self.bandwidth = bandwidth
        self.register_buffer("points", torch.zeros(1, self.replicas, self.dimension).double())
        self.register_buffer("width", torch.zeros(self.replicas, self.dimension).double())

    @property
    def least_rows(self) -> int:
        """Return 2, because the bandwidth follows from a spread."""
        return 2

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the rows as points (n, R, d), and the bandwidths (R, d).

        Raises:
            UserError: there are fewer than two rows.
        """
        self.needs_rows(len(rows))
        if isinstance(self.bandwidth, str):
            n, d = len(rows), self.dimension
            factor = (n if self.bandwidth == "scott" else n * (d + 2) / 4) ** (-1 / (d + 4))
            width = rows.std(0) * factor
        else:
            width = torch.full_like(rows[0], self.bandwidth)
        return {"points": rows, "width": width}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n points of each replica, (n, R, d)."""
        chosen = torch.randint(len(self.points), (n, self.replicas), generator=generator)
        noise = normal_noise((n, self.replicas, self.dimension), generator)
        return self.points[chosen, torch.arange(self.replicas)] + self.width * noise

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the means (R, d) of the density and its covariances (R, d, d), the kernel's variance included."""
        mean = self.points.mean(0)
        apart = self.points - mean
        covariance = torch.einsum("nri,nrj->rij", apart, apart) / len(apart)
        return mean, covariance + self.width.square().diag_embed()

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p(x) of points (m, R, d), as (m, R)."""
        constant = self.width.log().sum(-1) + self.dimension * math.log(2 * math.pi) / 2 + math.log(len(self.points))
        own = self.points / self.width
        size = max(1, CHUNK // own.numel())
        sums = [
            (-0.5 * (chunk[:, None] - own).square().sum(-1)).logsumexp(1)
            for chunk in torch.split(points / self.width, size)
        ]
        return torch.cat(sums) - constant
