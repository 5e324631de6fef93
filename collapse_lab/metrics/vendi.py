"""Compute the effective number of different samples (the Vendi score)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.interaction import pair_contributions, random_pairs
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.symmetric import add_product, forms, scatter
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Estimate, FeatureSet, Infinite, Resamplings, Split


@dataclass(frozen=True)
class Spectrum:
    """Hold the spectrum of the mean R of u uᵀ over the directions u of n rows.

    Attributes:
        values: the eigenvalues above rounding, rising, (r,).
        units: the directions u, (n, d), or their coordinates in the basis of the eigenvectors, (n, r).
        basis: the eigenvectors (d, r), or None where `units` are coordinates already.
    """

    values: Float[Tensor, " r"]
    units: Float[Tensor, "n _"]
    basis: Float[Tensor, "d r"] | None

    def __len__(self) -> int:
        return len(self.units)

    def coordinates(self, rows: Int[Tensor, " p"]) -> Float[Tensor, "p r"]:
        """Return some directions in the basis of the eigenvectors."""
        return self.units[rows] if self.basis is None else self.units[rows] @ self.basis

    def forms(self, weights: Float[Tensor, " r"]) -> Float[Tensor, " n"]:
        """Return for each direction the sum of its squared coordinates, times `weights`."""
        if self.basis is None:
            return self.units**2 @ weights
        matrix = torch.zeros(len(self.basis), len(self.basis), dtype=weights.dtype, device=weights.device)
        add_product(matrix, self.basis * weights, self.basis)
        return forms(self.units, 0.0, matrix)


def _spectrum(x: Float[Tensor, "n d"]) -> Spectrum:
    units = directions(x)[0]
    n, d = units.shape
    few = n <= d  # because K / n has the same eigenvalues and is smaller
    values, vectors = torch.linalg.eigh(scatter(units.T if few else units) / n)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    return Spectrum(values, (n * values).sqrt() * vectors, None) if few else Spectrum(values, units, vectors)


def _score(spectrum: Spectrum, q: float) -> float:
    if not q > 0:
        raise UserError(f"q is {q}, and has to be above 0: it is the order of an entropy, and .inf is the largest")
    logs = spectrum.values.log()
    if math.isinf(q):
        entropy = -logs[-1]
    elif q == 1:
        entropy = -(spectrum.values @ logs)
    else:
        entropy = torch.logsumexp(q * logs, 0) / (1 - q)
    return min(math.exp(max(0.0, float(entropy))), float(len(spectrum)))  # because rounding may leave the range


def _slopes(spectrum: Spectrum, q: float) -> tuple[Float[Tensor, " r"], Float[Tensor, " r"]]:
    """Return the score's derivative by each eigenvalue (up to a constant where q = 1), and its second derivative."""
    score, values = _score(spectrum, q), spectrum.values
    if math.isinf(q):
        return -(score**2) * (values == values[-1]).to(values), torch.zeros_like(values)
    if q == 1:
        return -score * values.log(), -score / values
    slopes = score * q / (1 - q) * torch.exp((q - 1) * values.log() - torch.logsumexp(q * values.log(), 0))
    return slopes, (q - 1) * slopes / values


def _second(spectrum: Spectrum, q: float, rng: np.random.Generator) -> Float[Tensor, " p"]:
    """Return the score's second derivative in u_i u_iᵀ - R and u_j u_jᵀ - R, of random pairs of rows.

    The second derivative of tr f(R) is <A, G ∘ B> in R's eigenvectors, with G the divided differences of f'
    (Daleckii and Krein). The outer function adds the product of two first derivatives, which vanishes where the
    second derivative matters.
    """
    values, (slopes, curves) = spectrum.values, _slopes(spectrum, q)
    gaps = values[:, None] - values
    close = gaps.abs() <= 1e-6 * values
    divided = torch.where(close, curves, (slopes[:, None] - slopes) / torch.where(close, 1.0, gaps))
    first, second = (spectrum.coordinates(rows.to(values.device)) for rows in random_pairs(len(spectrum), rng))
    diagonal = divided.diagonal() * values
    across = first * second
    return ((across @ divided) * across).sum(1) - (first**2 + second**2) @ diagonal + diagonal @ values


def vendi_score(x: Float[Tensor, "n d"], q: float = 1.0) -> float:
    """Return exp(-sum_k l_k log l_k), with l the eigenvalues of K / n and K_ij = x_i · x_j / (|x_i| |x_j|).

    For q != 1 it is (sum_k l_k^q)^(1 / (1 - q)), and 1 / max l for q = inf. The larger q is, the less rare kinds
    count. It is computed in float64 from the smaller of the n x n and the d x d matrix, which have the same
    eigenvalues. It grows with n, so compare only values of one n.

    Args:
        x: features (n, d).
        q: the order of the entropy, above 0; infinity is the largest.

    Returns:
        A number in [1, min(n, d)], or up to min(n, d + 1) where rows of zeros are a kind of their own. It is 1 where
        all rows have one direction, and n where all are at right angles.

    Raises:
        UserError: as `validated`, or q is not above 0.

    Source: Friedman and Dieng, arXiv:2210.02410, eq. 2; of order q arXiv:2310.12952.
    """
    return _score(_spectrum(validated_float64(x, x)[0]), q)


@dataclass
class Vendi:
    """Measure `vendi_score` of generated features.

    The interval comes from the influence of each row and of pairs of rows. It is too narrow for q < 1 with no more
    rows than dimensions: there the smallest eigenvalues count most, and they are noise. The floor is an upper limit:
    the score of as many held-out real rows.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
        q: the order of the entropy, above 0; infinity is the largest.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200
    q: Annotated[float, Gt(0), Infinite()] = 1.0

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `vendi`."""
        del real  # because variety is a property of one set
        with torch.inference_mode():
            spectrum = _spectrum(validated_float64(generated.values, generated.values)[0])
            value, n = _score(spectrum, self.q), len(spectrum)
            influence = spectrum.forms(_slopes(spectrum, self.q)[0])
            contributions = [influence, pair_contributions(_second(spectrum, self.q, rng), n)]
        return {"vendi": around(value, contributions, rng, self.bootstrap, low=1.0, high=float(n))}
