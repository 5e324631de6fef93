"""The regression family: least squares, whose model makes the labels of the next generation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.replicated import Replicated, normal_noise
from collapse_lab.seeds import Seeds
from collapse_lab.theory.interacting import CUTOFF
from collapse_lab.types import Budget, Conditions, Count, Positive, Progress, Rows, Samples, Spec

Inputs = Literal["same", "fresh", "given"]  # of samples
SOME = 16  # rows that are read at a time
Singular = Literal["refused", "least_norm"]


class LinearRegression(Replicated):
    """ŵ = (Σ c x xᵀ)⁻¹ Σ c x y over rows (x, y) of weights c, without intercept; samples are (x, xᵀŵ + noise).

    Source: arXiv:2404.01413 (`same`).

    Args:
        spec: The data set, of points that hold inputs and a label.
        replicas: The number of independent chains, R.
        noise: The variance of the noise of a regenerated label; above 0. In the papers it is that of the real rows.
        inputs: `same` regenerates the labels of the first rows trained on (under replace and accumulate, of the x that
            generation 0 was trained on). `fresh` makes labels for new x of N(0, I). `given` makes labels for the x of
            a prompt set of inputs (`prompts.Inputs`).
        singular: What is done where the rows do not determine the coefficients: the run is `refused`, or the solution
            of `least_norm` is taken, (Σ c x xᵀ)⁺ Σ c x y.

    Raises:
        UserError: points hold no inputs, or what `Replicated` raises.
    """

    weighs: ClassVar[bool] = True
    gathers: ClassVar[bool] = True
    coefficients: Tensor
    design: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        replicas: Count = 1,
        noise: Positive = 1.0,
        inputs: Inputs = "same",
        singular: Singular = "refused",
    ) -> None:
        super().__init__(spec, replicas)
        if self.dimension < 2:
            raise UserError("LinearRegression takes points of inputs and a label; give dataset=regression")
        self.noise, self.inputs, self.singular = noise, inputs, singular
        self._row_weights: Tensor | None = None
        self.register_buffer("coefficients", torch.zeros(self.replicas, self.dimension - 1).double())
        self.register_buffer("design", torch.zeros(1, self.replicas, self.dimension - 1).double())

    @property
    def least_rows(self) -> int:
        """Return d - 1, the number of coefficients; 1 where a solution of least norm is taken."""
        return self.dimension - 1 if self.singular == "refused" else 1

    def fit(
        self,
        data: Samples[Rows],
        budget: Budget,
        seeds: Seeds,
        progress: Progress,
        weights: np.ndarray | None = None,
    ) -> None:
        """Fit all chains in one step, to rows that count by their weights (n,) where there are some."""
        self._row_weights = None if weights is None else torch.from_numpy(weights)
        shared = _shared_rows(data) if self.inputs == "given" else None
        if shared is None:
            super().fit(data.gathered(), budget, seeds, progress)
        else:
            self.register_buffer("coefficients", self._shared(*shared))
            self.register_buffer("generation", torch.tensor(seeds.generation))
            progress.advance(budget.steps)
        self._row_weights = None

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the coefficients (R, d - 1), and the inputs (n, R, d - 1) whose labels are regenerated.

        Raises:
            UserError: the rows do not determine the coefficients.
        """
        x, y = rows[..., :-1], rows[..., -1]
        self.needs_rows(len(rows))
        kept = x.contiguous() if self.inputs == "same" else self.design
        counted = x if self._row_weights is None else x * self._row_weights[:, None, None]
        gram = torch.einsum("nri,nrj->rij", counted, x)
        if self.singular == "least_norm":
            inverse = torch.linalg.pinv(gram, rtol=CUTOFF, hermitian=True)
            return {"coefficients": torch.einsum("rij,nrj,nr->ri", inverse, counted, y), "design": kept}
        root, failed = torch.linalg.cholesky_ex(gram)
        if failed.any():
            raise UserError(
                f"least squares has no single solution in {int((failed > 0).sum())} replicas, whose inputs span fewer "
                f"than {x.shape[-1]} dimensions; raise n_train"
            )
        coefficients = torch.cholesky_solve(torch.einsum("nri,nr->ri", counted, y)[..., None], root)[..., 0]
        return {"coefficients": coefficients, "design": kept}

    def _shared(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the coefficients (R, d - 1) of labels (n, R) at inputs (n, d - 1) that all replicas share.

        Raises:
            UserError: the rows do not determine the coefficients.
        """
        counted = x if self._row_weights is None else x * self._row_weights[:, None]
        gram = counted.T @ x
        rank = int(torch.linalg.matrix_rank(gram, rtol=CUTOFF, hermitian=True))
        if rank < len(gram) and self.singular == "refused":
            raise UserError(
                f"least squares has no single solution, because the inputs span {rank} of {len(gram)} dimensions; "
                "raise n_train, or give model.singular=least_norm"
            )
        coefficients: Tensor = torch.linalg.pinv(gram, rtol=CUTOFF, hermitian=True) @ (counted.T @ y)
        return coefficients.T.contiguous()

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """Return one row (R, d) for each condition, with the inputs of the conditions where they give some.

        Raises:
            UserError: `inputs` is `given`, and the conditions have none.
        """
        if self.inputs != "given":
            return super().sample(conditions, seeds, progress)
        if conditions.context is None:
            raise UserError(
                "model.inputs=given makes labels for the inputs of a prompt set, and this one has none; give prompt "
                "sets of collapse_lab.prompts.Inputs, or model.inputs=same"
            )
        x = conditions.context[:]
        rows = torch.empty((len(x), self.replicas, self.dimension), dtype=torch.float64)
        rows[..., :-1] = x[:, None]
        rows[..., -1] = x @ self.coefficients.T
        rows[..., -1] += math.sqrt(self.noise) * normal_noise((len(x), self.replicas), seeds.torch())
        progress.advance(self.sampling_steps(len(conditions)))
        return Samples(rows, conditions.labels, conditions.captions)

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


def _shared_rows(data: Samples[Rows]) -> tuple[Tensor, Tensor] | None:
    """Return the inputs (n, d - 1) that all replicas share and the labels (n, R); None where they share none.

    Rows are read some at a time, because inputs take a copy for each replica that is not kept.
    """
    inputs, labels = [], []
    for start in range(0, len(data), SOME):
        rows = data.data[start : start + SOME]
        first = rows[:, 0, :-1].clone()
        if not torch.equal(rows[..., :-1], first[:, None].expand(-1, rows.shape[1], -1)):
            return None
        inputs.append(first)
        labels.append(rows[..., -1].clone())
    return torch.cat(inputs), torch.cat(labels)
