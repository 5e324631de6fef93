"""Density estimation in a reproducing-kernel Hilbert space of functions on [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.replicated import Replicated
from collapse_lab.seeds import Seeds
from collapse_lab.types import Count, Positive, Spec

CHUNK = 2**22  # distances that are computed at a time


class RKHS(Replicated):
    """p̂ = argmin_f ½∫f² + ½ρ∫f'² - 1/n Σ_i f(x_i) = 1/n Σ_i G(·, x_i), the empirical mean embedding of the rows.

    The first two terms are half the squared norm of a Hilbert space of functions on [0, 1] (Sobolev's H¹), and G is its
    reproducing kernel. With b = √ρ, d = |x - y| and s = x + y,
        G(x, y) = [e^{-d/b} + e^{-(2-d)/b} + e^{-s/b} + e^{-(2-s)/b}] / (2b (1 - e^{-2/b})).
    G is positive and has the integral 1, so p̂ is a density as it stands. A draw is a row of the training set plus noise
    of Laplace's distribution of scale b, folded into [0, 1] at its ends.

    The directions e_k(x) = √2 cos(πkx) are the eigenfunctions of G, with the eigenvalues λ_k = 1/(1 + ρπ²k²), and
    λ_0 = 1 of the constant. One fit multiplies the expected coefficient ∫ p̂ e_k by λ_k, so after g + 1 fits it is
    λ_k^{g+1} times the real one: a chain collapses onto the directions of the largest eigenvalues.

    Args:
        spec: The data set, of points of [0, 1].
        replicas: The number of independent chains, R.
        ridge: ρ, the weight of the penalty on ∫f'²; above 0.

    Raises:
        UserError: points have more than one number, or what `Replicated` raises.

    Source: the supplement of arXiv:2305.17493, which says that regularised density estimation in such a space
        collapses, in expectation, onto the topmost directions. We know that sentence only. The space is our choice,
        and the formulas are derived here.
    """

    points: Tensor

    def __init__(self, spec: Spec, *, replicas: Count = 1, ridge: Positive = 1e-3) -> None:
        super().__init__(spec, replicas)
        if self.dimension != 1:
            raise UserError(
                f"RKHS takes points of one number in [0, 1]; these have {self.dimension}: give dataset=waves"
            )
        self.ridge = ridge
        self.register_buffer("points", torch.full((1, self.replicas, 1), 0.5).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the rows as points (n, R, 1).

        Raises:
            UserError: a point is outside [0, 1].
        """
        if not ((rows >= 0) & (rows <= 1)).all():
            raise UserError(
                f"RKHS takes points of [0, 1]; got points from {float(rows.min()):g} to {float(rows.max()):g}: give "
                "dataset=waves"
            )
        return {"points": rows}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n points of each replica, (n, R, 1)."""
        chosen = torch.randint(len(self.points), (n, self.replicas), generator=generator)
        waits = torch.empty(2, n, self.replicas, dtype=torch.float64).exponential_(generator=generator)
        noise = math.sqrt(self.ridge) * (waits[0] - waits[1])
        moved = (self.points[chosen, torch.arange(self.replicas), 0] + noise).remainder(2)
        return torch.where(moved > 1, 2 - moved, moved)[..., None]

    def coefficients(self, directions: int) -> Tensor:
        """Return ∫ p̂(x) √2 cos(πkx) dx for k = 1, …, K, (R, K).

        Args:
            directions: K.
        """
        k = torch.arange(1, directions + 1, dtype=torch.float64)
        waves = [torch.cos(math.pi * number * self.points[..., 0]).mean(0) for number in k]
        return math.sqrt(2) * torch.stack(waves, -1) / (1 + self.ridge * (math.pi * k) ** 2)

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p(x) of points (m, R, 1), as (m, R); -inf outside [0, 1]."""
        width, own = math.sqrt(self.ridge), self.points[..., 0]
        chunks = torch.split(points[..., 0], max(1, CHUNK // own.numel()))
        sums = torch.cat([self._logs(chunk[:, None], own, width).logsumexp(1) for chunk in chunks])
        constant = math.log(2 * width * len(own)) + math.log(-math.expm1(-2 / width))
        inside = (points[..., 0] >= 0) & (points[..., 0] <= 1)
        return (sums - constant).masked_fill(~inside, -math.inf)

    @staticmethod
    def _logs(x: Tensor, y: Tensor, width: float) -> Tensor:
        """Return the logarithm of the bracket in G(x, y)."""
        apart, total = (x - y).abs(), x + y
        return torch.stack([apart, 2 - apart, total, 2 - total]).div_(-width).logsumexp(0)
