"""Compute the Fréchet distance between Gaussians fitted to two sets of features (FID)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from collapse_lab.metrics.intervals import around, without_noise_of_the_slope
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split

ROUNDING = torch.finfo(torch.float64).eps


class Overlap(NamedTuple):
    """Hold tr sqrt(S1 S2), and the pull of each centred row on it: x_iᵀ T1 x_i and y_iᵀ T2 y_i.

    T1 is the optimal map from N(0, S1) to N(0, S2), and T2 is its inverse.

    Attributes:
        trace: tr sqrt(S1 S2).
        pull_x: x_iᵀ T1 x_i of each row of x, (n,).
        pull_y: y_iᵀ T2 y_i of each row of y, (m,).
    """

    trace: Float[Tensor, ""]
    pull_x: Float[Tensor, " n"]
    pull_y: Float[Tensor, " m"]


def _by_rows(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Overlap:
    n, m = len(x) - 1, len(y) - 1
    left, sigma, right = torch.linalg.svd(x @ y.T, full_matrices=False)
    sigma = sigma / (n * m) ** 0.5
    return Overlap(sigma.sum(), n * (left**2 @ sigma), m * (sigma @ right**2))


def _by_columns(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Overlap:
    first, second = _covariance(x), _covariance(y)
    root, inverse = _root(first)
    squares, basis = _range(root.T @ second @ root)
    # T1 = R⁻ᵀ (Rᵀ S2 R)^½ R⁻¹ and T2 = R (Rᵀ S2 R)^-½ Rᵀ, for any R with R Rᵀ = S1
    pull_x = ((x @ inverse(basis * squares**0.25)) ** 2).sum(1)
    pull_y = ((y @ (root @ (basis * squares**-0.25))) ** 2).sum(1)
    return Overlap(squares.sqrt().sum(), pull_x, pull_y)


def _covariance(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    return x.T @ x / (len(x) - 1)


def _root(matrix: Float[Tensor, "d d"]) -> tuple[Float[Tensor, "d r"], Callable[[Tensor], Tensor]]:
    """Return R with R Rᵀ = S, and a function that multiplies by its transposed inverse on the range of S."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal()
    if int(failed) == 0 and float(pivots.min()) > ROUNDING**0.5 * float(pivots.max()):
        return factor, lambda b: torch.linalg.solve_triangular(factor.T, b, upper=True)
    scale, axes = _range(matrix)  # because without full rank there is no triangular factor
    deviations = scale.sqrt()
    return axes * deviations, lambda b: (axes / deviations) @ b


def _range(matrix: Float[Tensor, "d d"]) -> tuple[Float[Tensor, " r"], Float[Tensor, "d r"]]:
    """Return the eigenvalues that are above rounding, and their eigenvectors."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    kept = _above_rounding(values)
    return values[kept], vectors[:, kept]


def _above_rounding(eigenvalues: Float[Tensor, " d"]) -> Bool[Tensor, " d"]:
    # A zero eigenvalue may be computed as 1e-16. Its square root, 1e-8, would then count once for every missing
    # rank, so we leave such eigenvalues out.
    return eigenvalues > len(eigenvalues) * ROUNDING * float(eigenvalues.norm())


def _overlap(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Overlap:
    return _by_rows(x, y) if _few(x, y) else _by_columns(x, y)


def _trace(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Return the trace of `_overlap` alone, which needs no eigenvector."""
    if _few(x, y):
        values: Tensor = torch.linalg.svdvals(x @ y.T) / ((len(x) - 1) * (len(y) - 1)) ** 0.5
    else:
        root, _ = _root(_covariance(x))
        middle = root.T @ _covariance(y) @ root
        squares = torch.linalg.eigvalsh((middle + middle.T) / 2)
        values = squares[_above_rounding(squares)].sqrt()
    return values.sum()


def _few(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> bool:
    # With fewer rows than dimensions, the singular values of n x m inner products are cheaper. They are also exact,
    # because no square root of a covariance without full rank is needed.
    return min(len(x), len(y)) <= x.shape[1]


class Centred(NamedTuple):
    """Hold both sets around their means, and the part of the distance that is not their overlap.

    Attributes:
        x: the first set less its mean, (n, d).
        y: the second set less its mean, (m, d).
        shift: m1 - m2, (d,).
        rest: |m1 - m2|² + tr(S1 + S2).
    """

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    shift: Float[Tensor, " d"]
    rest: float


def _centred(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Centred:
    shift = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    variance = (x**2).sum() / (len(x) - 1) + (y**2).sum() / (len(y) - 1)
    return Centred(x, y, shift, float(shift @ shift + variance))


def distance_and_influence(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the Fréchet distance, and the influence of each row of x and of y on it.

    Args:
        x: the first set (n, d) in float64, n >= 2.
        y: the second set (m, d) in float64, m >= 2.

    Returns:
        The distance, 0 or more, and the influences (n,) and (m,), as `intervals.around` takes them.
    """
    x, y, shift, rest = _centred(x, y)
    overlap = _overlap(x, y)
    influence_x = 2 * x @ shift + (x**2).sum(1) - overlap.pull_x
    influence_y = -2 * y @ shift + (y**2).sum(1) - overlap.pull_y
    return max(0.0, rest - 2 * float(overlap.trace)), influence_x, influence_y


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Return |m1 - m2|² + tr(S1 + S2 - 2 sqrt(S1 S2)), of the means m and unbiased covariances S of x and y.

    tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues of S1^½ S2 S1^½. Where a set has no more rows
    than dimensions, it is ‖X1 X2ᵀ‖_* / sqrt((n-1)(m-1)) of the centred rows (the sum of singular values). Everything
    is computed in float64.

    Its expectation falls with n and m, so compare only values of one n.

    Args:
        x: generated features (n, d).
        y: reference features (m, d).

    Returns:
        A distance in [0, inf), 0 for sets of equal mean and covariance.

    Raises:
        UserError: as `validated`.

    Source: Dowson and Landau, Journal of Multivariate Analysis 12 (1982); of generators arXiv:1706.08500.
    """
    x, y, _, rest = _centred(*validated_float64(x, y))
    return max(0.0, rest - 2 * float(_trace(x, y)))


@dataclass
class FID:
    """Measure `frechet_distance` of generated and reference features.

    The interval is of the distance expected at these n and m. This expectation has the bias of n and m; the floor at
    the same n shows how large it is. We resample the influence of each row (the gradient of the distance in S1 is
    I - T1), less the noise of the gradient itself. The interval is symmetric on the scale of the distance's root.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
    """

    version: ClassVar[int] = 2
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `fid`."""
        x, y = validated_float64(generated.values, real.values)
        if self.bootstrap < 2:
            return {"fid": Estimate(frechet_distance(x, y))}
        value, *influence = distance_and_influence(x, y)
        if min(len(x), len(y)) >= 4:
            _, *of_half = distance_and_influence(
                *(rows[torch.from_numpy(rng.permutation(len(rows))[::2].copy())] for rows in (x, y))
            )
            influence = without_noise_of_the_slope(influence, of_half)
        return {"fid": around(value, influence, rng, self.bootstrap, low=0.0, root=True)}
