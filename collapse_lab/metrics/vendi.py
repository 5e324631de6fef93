"""The effective number of different samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.interaction import in_pairs, pairs
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split


@dataclass(frozen=True)
class Spectrum:
    """Of the mean R of u uᵀ over directions u: eigenvalues above rounding, rising, and each u in their eigenvectors."""

    values: Float[Tensor, " r"]
    rows: Float[Tensor, "n r"]


def _spectrum(x: Float[Tensor, "n d"]) -> Spectrum:
    units = directions(x)[0]
    n, d = units.shape
    if n <= d:  # K / n has the same eigenvalues
        values, vectors = torch.linalg.eigh(units @ units.T / n)
        rows = (n * values.clamp(min=0)).sqrt() * vectors
    else:
        values, vectors = torch.linalg.eigh(units.T @ units / n)
        rows = units @ vectors
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    return Spectrum(values[kept], rows[:, kept])


def _score(found: Spectrum, q: float) -> float:
    if not q > 0:
        raise UserError(f"q is {q}, and the order of an entropy is above 0 here; .inf is the largest")
    logs = found.values.log()
    if math.isinf(q):
        entropy = -logs[-1]
    elif q == 1:
        entropy = -(found.values @ logs)
    else:
        entropy = torch.logsumexp(q * logs, 0) / (1 - q)
    return min(math.exp(max(0.0, float(entropy))), float(len(found.rows)))  # rounding may lead out of the range


def _slopes(found: Spectrum, q: float) -> tuple[Float[Tensor, " r"], Float[Tensor, " r"]]:
    """The derivative of the score by each eigenvalue (up to a constant where q = 1), and its own derivative."""
    score, values = _score(found, q), found.values
    if math.isinf(q):
        return -(score**2) * (values == values[-1]).to(values), torch.zeros_like(values)
    if q == 1:
        return -score * values.log(), -score / values
    slopes = score * q / (1 - q) * torch.exp((q - 1) * values.log() - torch.logsumexp(q * values.log(), 0))
    return slopes, (q - 1) * slopes / values


def _second(found: Spectrum, q: float, rng: np.random.Generator) -> Float[Tensor, " p"]:
    """The score's second derivative in u_i u_iᵀ - R and u_j u_jᵀ - R, of random pairs of rows.

    That of tr f(R) is <A, G ∘ B> in R's eigenvectors, G the divided differences of f' (Daleckii and Krein). What
    the outer function adds is the product of two first derivatives, which vanishes where the second counts.
    """
    values, (slopes, curves) = found.values, _slopes(found, q)
    gaps = values[:, None] - values
    close = gaps.abs() <= 1e-6 * values
    divided = torch.where(close, curves, (slopes[:, None] - slopes) / torch.where(close, 1.0, gaps))
    i, j = pairs(len(found.rows), rng)
    diagonal = divided.diagonal() * values
    own = found.rows**2 @ diagonal
    across = found.rows[i] * found.rows[j]
    return ((across @ divided) * across).sum(1) - own[i] - own[j] + diagonal @ values


def vendi_score(x: Float[Tensor, "n d"], q: float = 1.0) -> float:
    """exp(-sum_k l_k log l_k), l the eigenvalues of K / n, K_ij = x_i · x_j / (|x_i| |x_j|).

    For q != 1, (sum_k l_k^q)^(1 / (1 - q)), and 1 / max l for q = inf: the larger q, the less rare kinds count.
    From the smaller of the n x n and the d x d matrix, which have the same eigenvalues. float64.

    Range: [1, min(n, d)], or min(n, d + 1) where rows of zeros are a kind of their own: 1 where all rows point one
        way, n where all are at right angles. It grows with n, so that a value means little beside one of another n.
    Raises: UserError as `checked`, and for q <= 0.
    Source: Friedman and Dieng, arXiv:2210.02410, eq. 2; of order q arXiv:2310.12952.
    """
    return _score(_spectrum(checked(x, x)[0]), q)


@dataclass
class Vendi:
    """vendi_score of generated features, its interval from each row's influence and that of pairs.

    Its floor is a ceiling: the score of as many held-out real rows. The interval is too narrow for q < 1 with no more
    rows than dimensions, where the smallest eigenvalues, which count most, are noise.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200
    q: float = 1.0

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`vendi`."""
        del real  # variety is a property of one set
        with torch.inference_mode():
            found = _spectrum(checked(generated.values, generated.values)[0])
            value, n = _score(found, self.q), len(found.rows)
            influence = found.rows**2 @ _slopes(found, self.q)[0]
            parts = [influence, in_pairs(_second(found, self.q, rng), n)]
        return {"vendi": around(value, parts, rng, self.bootstrap, low=1.0, high=float(n))}
