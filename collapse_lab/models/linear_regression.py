"""The regression family: least squares, whose model makes the next generation's labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.theory.regression import Design
from collapse_lab.types import Spec


class LinearRegression(Replicated):
    """ŵ = (Σ x xᵀ)⁻¹ Σ x y over rows (x, y), without intercept; samples are (x, xᵀŵ + noise).

    noise: variance of the noise of a regenerated label; the real rows' own, in the papers.
    inputs: `same` regenerates the labels of the first rows trained on (under replace and accumulate, of the x that
        generation 0 was trained on), `fresh` labels new x of N(0, I).

    Source: arXiv:2404.01413 (`same`).

    Raises:
        UserError: a value out of range, fewer rows than inputs, and what `Replicated` raises.
    """

    coefficients: Tensor
    design: Tensor

    def __init__(self, spec: Spec, *, replicas: int = 1, noise: float = 1.0, inputs: str = "same") -> None:
        super().__init__(spec, replicas)
        if self.dimension < 2:
            raise UserError("LinearRegression takes points of inputs and a label; give dataset=regression")
        if not 0 < noise < math.inf:
            raise UserError(f"model.noise is a variance above 0; got {noise}")
        if inputs not in get_args(Design):
            raise UserError(f"model.inputs is same or fresh; got '{inputs}': {did_you_mean(inputs, get_args(Design))}")
        self.noise, self.inputs = noise, inputs
        self.register_buffer("coefficients", torch.zeros(self.replicas, self.dimension - 1).double())
        self.register_buffer("design", torch.zeros(1, self.replicas, self.dimension - 1).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        x, y = rows[..., :-1], rows[..., -1]
        self.needs_rows(len(rows), x.shape[-1])
        gram = torch.einsum("nri,nrj->rij", x, x)
        root, failed = torch.linalg.cholesky_ex(gram)
        if failed.any():
            raise UserError(
                f"least squares has no single solution in {int((failed > 0).sum())} replicas, whose inputs span fewer "
                f"than {x.shape[-1]} dimensions; raise n_train"
            )
        found = torch.cholesky_solve(torch.einsum("nri,nr->ri", x, y)[..., None], root)[..., 0]
        return {"coefficients": found, "design": x.contiguous() if self.inputs == "same" else self.design}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        d = self.dimension - 1
        if self.inputs == "same":
            x = self.design[torch.arange(n) % len(self.design)]
        else:
            x = normal_noise((n, self.replicas, d), generator)
        noise = normal_noise((n, self.replicas), generator)
        y = (x * self.coefficients).sum(-1) + math.sqrt(self.noise) * noise
        return torch.cat([x, y[..., None]], -1)
