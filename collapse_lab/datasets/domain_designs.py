"""Inputs and coefficients of linear domains, which the data set draws and the theory is computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds

Design = Literal["random", "equal"]


@dataclass(frozen=True, eq=False)
class DomainDesigns:
    """Hold what is fixed in each domain of `datasets.LinearDomains`, which says what the arguments mean."""

    domains: Sequence[str]
    rows: int
    sizes: Mapping[str, int] | None
    dimension: int
    design: Design
    rank: int | Mapping[str, int] | None
    grams: Mapping[str, Sequence[Sequence[float]]] | None
    coefficients: Mapping[str, Sequence[float]] | None
    spread: float
    design_seed: int

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of training rows of each domain."""
        return dict.fromkeys(self.domains, self.rows) | dict(self.sizes or {})

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Return the inputs of the training rows of each domain, (n, d) float64.

        Raises:
            UserError: a Gram matrix is not symmetric or not positive semidefinite, or a domain has fewer than d rows
                for it.
        """
        return {name: self._inputs(name, n) for name, n in self.counts.items()}

    @cached_property
    def truths(self) -> dict[str, np.ndarray]:
        """Return the coefficients θ of each domain, (d,) float64."""
        common = self._generator("common").standard_normal(self.dimension)
        drawn = {
            name: common + self.spread * self._generator(f"coefficients/{name}").standard_normal(self.dimension)
            for name in self.domains
        }
        return drawn | {name: np.asarray(value, np.float64) for name, value in (self.coefficients or {}).items()}

    def rank_of(self, name: str) -> int:
        """Return how many dimensions the random inputs of a domain span."""
        rank = self.rank.get(name) if isinstance(self.rank, Mapping) else self.rank
        return self.dimension if rank is None else rank

    def _inputs(self, name: str, n: int) -> np.ndarray:
        d, drawn = self.dimension, self._generator(f"inputs/{name}").standard_normal((n, self.dimension))
        gram = (self.grams or {}).get(name)
        if gram is None and self.design == "random":
            rank = self.rank_of(name)
            basis = np.linalg.qr(self._generator(f"basis/{name}").standard_normal((d, d)))[0][:rank]
            return drawn if rank == d else math.sqrt(d / rank) * drawn[:, :rank] @ basis
        wanted = np.eye(d) if gram is None else np.asarray(gram, np.float64)
        values, vectors = np.linalg.eigh(wanted)
        if n < d or not np.allclose(wanted, wanted.T) or values.min() < -1e-9 * max(1.0, values.max()):
            raise UserError(
                f"domain '{name}' has a given Gram matrix, which is symmetric, positive semidefinite and of {d} rows "
                f"or more; got {n} rows and the eigenvalues {values.round(6).tolist()}"
            )
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        inputs: np.ndarray = math.sqrt(n) * np.linalg.qr(drawn)[0] @ root
        return inputs

    def _generator(self, role: str) -> np.random.Generator:
        return Seeds(self.design_seed, 0, "real", f"domains/{role}").numpy()
