"""The kernel density family: a Gaussian on every row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.types import Spec

RULES = ("scott", "silverman")
CHUNK = 2**22  # distances at a time


class KDE(Replicated):
    """p̂(x) = 1/n Σ_i Π_j N(x_j; x_ij, h_j²).

    bandwidth: h as a number, the same on every axis, or a rule for h_j = s_j · factor, s_j² the unbiased variance of
        axis j: `scott` has the factor n^(-1/(d + 4)), `silverman` (n (d + 2)/4)^(-1/(d + 4)).

    Raises:
        UserError: another rule, a number that is not positive, and what `Replicated` raises.
    """

    points: Tensor
    width: Tensor

    def __init__(self, spec: Spec, *, replicas: int = 1, bandwidth: float | str = "scott") -> None:
        super().__init__(spec, replicas)
        if isinstance(bandwidth, str) and bandwidth not in RULES:
            raise UserError(
                f"model.bandwidth is {', '.join(RULES)} or a number; got '{bandwidth}': "
                f"{did_you_mean(bandwidth, RULES)}"
            )
        if not isinstance(bandwidth, str) and not 0 < bandwidth < math.inf:
            raise UserError(f"model.bandwidth is above 0; got {bandwidth}")
        self.bandwidth = bandwidth
        self.register_buffer("points", torch.zeros(1, self.replicas, self.dimension).double())
        self.register_buffer("width", torch.zeros(self.replicas, self.dimension).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        self.needs_rows(len(rows), 2)
        if isinstance(self.bandwidth, str):
            n, d = len(rows), self.dimension
            factor = (n if self.bandwidth == "scott" else n * (d + 2) / 4) ** (-1 / (d + 4))
            width = rows.std(0) * factor
        else:
            width = torch.full_like(rows[0], self.bandwidth)
        return {"points": rows, "width": width}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.points), (n, self.replicas), generator=generator)
        noise = normal_noise((n, self.replicas, self.dimension), generator)
        return self.points[chosen, torch.arange(self.replicas)] + self.width * noise

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means (R, d) and covariances (R, d, d): those of the points, and the kernel's."""
        mean = self.points.mean(0)
        apart = self.points - mean
        covariance = torch.einsum("nri,nrj->rij", apart, apart) / len(apart)
        return mean, covariance + self.width.square().diag_embed()

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) of points (m, R, d), as (m, R)."""
        constant = self.width.log().sum(-1) + self.dimension * math.log(2 * math.pi) / 2 + math.log(len(self.points))
        own = self.points / self.width
        size = max(1, CHUNK // own.numel())
        parts = [
            (-0.5 * (some[:, None] - own).square().sum(-1)).logsumexp(1)
            for some in torch.split(points / self.width, size)
        ]
        return torch.cat(parts) - constant
