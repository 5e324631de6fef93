"""The regression family: least squares, whose model makes the labels of the next generation."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.seeds import Seeds
from collapse_lab.theory.regression import Design
from collapse_lab.types import Count, Positive, Spec


class LinearRegression(Replicated):
    """ŵ = (Σ x xᵀ)⁻¹ Σ x y over rows (x, y), without intercept; samples are (x, xᵀŵ + noise).

    Source: arXiv:2404.01413 (`same`).

    Args:
        spec: The data set, of points that hold inputs and a label.
        replicas: The number of independent chains, R.
        noise: The variance of the noise of a regenerated label; above 0. In the papers it is that of the real rows.
        inputs: `same` regenerates the labels of the first rows trained on (under replace and accumulate, of the x that
            generation 0 was trained on). `fresh` makes labels for new x of N(0, I).

    Raises:
        UserError: points hold no inputs, or what `Replicated` raises.
    """

    coefficients: Tensor
    design: Tensor

    def __init__(self, spec: Spec, *, replicas: Count = 1, noise: Positive = 1.0, inputs: Design = "same") -> None:
        super().__init__(spec, replicas)
        if self.dimension < 2:
            raise UserError("LinearRegression takes points of inputs and a label; give dataset=regression")
        self.noise, self.inputs = noise, inputs
        self.register_buffer("coefficients", torch.zeros(self.replicas, self.dimension - 1).double())
        self.register_buffer("design", torch.zeros(1, self.replicas, self.dimension - 1).double())

    @property
    def least_rows(self) -> int:
        """Return d - 1, the number of coefficients."""
        return self.dimension - 1

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the coefficients (R, d - 1), and the inputs (n, R, d - 1) whose labels are regenerated.

        Raises:
            UserError: the rows do not determine the coefficients.
        """
        x, y = rows[..., :-1], rows[..., -1]
        self.needs_rows(len(rows))
        gram = torch.einsum("nri,nrj->rij", x, x)
        root, failed = torch.linalg.cholesky_ex(gram)
        if failed.any():
            raise UserError(
                f"least squares has no single solution in {int((failed > 0).sum())} replicas, whose inputs span fewer "
                f"than {x.shape[-1]} dimensions; raise n_train"
            )
        coefficients = torch.cholesky_solve(torch.einsum("nri,nr->ri", x, y)[..., None], root)[..., 0]
        return {"coefficients": coefficients, "design": x.contiguous() if self.inputs == "same" else self.design}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows (x, y) of each replica, (n, R, d)."""
        d = self.dimension - 1
        if self.inputs == "same":
            x = self.design[torch.arange(n) % len(self.design)]
        else:
            x = normal_noise((n, self.replicas, d), generator)
        noise = normal_noise((n, self.replicas), generator)
        y = (x * self.coefficients).sum(-1) + math.sqrt(self.noise) * noise
        return torch.cat([x, y[..., None]], -1)
