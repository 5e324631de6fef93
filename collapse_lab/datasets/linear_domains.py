"""Data set of several domains with known linear coefficients, whose inputs all replicas share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from collapse_lab.datasets.domain_designs import Design, DomainDesigns
from collapse_lab.datasets.points import Points
from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Count, NonNegative, Positive, Samples, Spec, Whole


@dataclass(kw_only=True, eq=False)
class LinearDomains(Points):
    """Draw points (x, y) of some domains s with y = xᵀθ_s + noise; every replica has noise of its own at the same x.

    The label of a row is the number of its domain. Inputs are fixed, so that the Gram matrix S = XᵀX/n of a domain is
    known, and the theory of interacting models (`theory.interacting`) is exact.

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows of each domain, d or more where S is given or `equal`.
        reference: number of reference rows of each domain, 2 or more.
        seed: seed of the noise.
        domains: their names, in the order of their labels.
        dimension: d, 1 or more.
        noise: variance of the noise, above 0.
        design: `random` draws inputs of N(0, I) for each domain; `equal` gives every domain inputs with S = I.
        rank: r, the dimensions that the random inputs of a domain span: one number, or domain -> number; d for domains
            that are not named. Domains of r dimensions have subspaces in random directions.
        grams: domain -> S, d x d and positive semidefinite, which replaces its design.
        coefficients: domain -> θ_s; the others are `spread` x N(0, I) about a common point of N(0, I).
        spread: how far coefficients of the domains differ, 0 or more.
        sizes: domain -> its number of training rows, in the place of `rows`.
        design_seed: seed of inputs and coefficients, which seeds of runs share.

    Raises:
        UserError: when there is no domain or one twice, sizes do not agree, or a name is no domain.
    """

    rows: Count = 40
    domains: Sequence[str] = ("a", "b", "public")
    dimension: Count = 10
    noise: Positive = 1.0
    design: Design = "random"
    rank: Count | Mapping[str, int] | None = None
    grams: Mapping[str, Sequence[Sequence[float]]] | None = None
    coefficients: Mapping[str, Sequence[float]] | None = None
    spread: NonNegative = 1.0
    sizes: Mapping[str, int] | None = None
    design_seed: Whole = 0

    def __post_init__(self) -> None:
        names = list(self.domains)
        if not names or len(set(names)) < len(names):
            raise UserError(f"dataset.domains names one domain or more, each once; got {names}")
        d = self.dimension
        for argument, shape in (("grams", (d, d)), ("coefficients", (d,)), ("rank", ()), ("sizes", ())):
            given = getattr(self, argument)
            for name, value in (given if isinstance(given, Mapping) else {}).items():
                if name not in names or np.shape(value) != shape:
                    raise UserError(
                        f"dataset.{argument} has numbers of shape {shape} for some of the domains {names}; got "
                        f"{np.shape(value)} for '{name}'"
                    )
        if not all(1 <= self.designs.rank_of(name) <= d for name in names) or min(self.counts.values()) < 1:
            raise UserError(
                f"dataset.rank is in [1, {d}], the dimension, and dataset.sizes are 1 or more; got rank={self.rank} "
                f"and sizes={self.sizes}"
            )
        super().__post_init__()

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of training rows of each domain."""
        return self.designs.counts

    @property
    def total(self) -> int:
        """Return the number of rows of both splits."""
        return sum(self.counts.values()) + self.reference * len(self.domains)

    @property
    def width(self) -> int:
        """Return d + 1: the inputs, then the label."""
        return self.dimension + 1

    @property
    def spec(self) -> Spec:
        """Return the shape (R, d + 1) of a row, and the domains as classes."""
        return Spec("points", (self.replicas, self.width), tuple(self.domains))

    @cached_property
    def designs(self) -> DomainDesigns:
        """Return what is fixed in each domain."""
        return DomainDesigns(**{field.name: getattr(self, field.name) for field in fields(DomainDesigns)})

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Return the inputs of the training rows of each domain, (n, d) float64.

        Raises:
            UserError: a Gram matrix is not symmetric or not positive semidefinite, or a domain has fewer than d rows
                for it.
        """
        return self.designs.inputs

    @property
    def truths(self) -> dict[str, np.ndarray]:
        """Return the coefficients θ of each domain, (d,) float64."""
        return self.designs.truths

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the noise of n labels, (n, R) float64."""
        noise = torch.randn(n, self.replicas, dtype=torch.float64, generator=generator)
        return noise.mul_(math.sqrt(self.noise))

    def _split(self, name: str, n: int) -> Samples:
        """Return the rows of a split, domain by domain; reference rows have the first inputs of their domain."""
        parts, labels = [], []
        for number, domain in enumerate(self.domains):
            x = self.inputs[domain]
            x = x if name == "train" else x[np.arange(n) % len(x)]
            noise = self.draw(len(x), Seeds(self.seed, 0, "real", f"points/{name}/{domain}").torch())
            rows = torch.empty((len(x), self.replicas, self.width), dtype=torch.float64)
            rows[..., :-1] = torch.from_numpy(x)[:, None]
            rows[..., -1] = torch.from_numpy(x @ self.truths[domain])[:, None] + noise
            parts.append(rows)
            labels.append(np.full(len(x), number, np.int64))
        return Samples(torch.cat(parts), np.concatenate(labels))
