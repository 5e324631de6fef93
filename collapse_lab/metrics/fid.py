"""Fréchet distance between Gaussians fitted to two sets of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split


class Overlap(NamedTuple):
    """tr sqrt(S1 S2), and the pull of each centred row on it: x_iᵀ T1 x_i and y_iᵀ T2 y_i.

    T1 is the optimal map from N(0, S1) to N(0, S2), and T2 its inverse.
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
    first, second = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)
    scale, axes = _range(first)
    root = axes * scale.sqrt()  # S1 = root rootᵀ
    squares, basis = _range(root.T @ second @ root)
    pull_x = ((x @ (axes / scale.sqrt()) @ basis) ** 2) @ squares.sqrt()
    pull_y = ((y @ root @ basis) ** 2) @ squares.rsqrt()
    return Overlap(squares.sqrt().sum(), pull_x, pull_y)


def _range(matrix: Float[Tensor, "d d"]) -> tuple[Float[Tensor, " r"], Float[Tensor, "d r"]]:
    """The eigenvalues that are above rounding, and their eigenvectors.

    The square root of a zero eigenvalue that came out as 1e-16 would be 1e-8, once for every missing rank.
    """
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > len(values) * torch.finfo(values.dtype).eps * torch.linalg.vector_norm(values)
    return values[kept], vectors[:, kept]


def _overlap(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Overlap:
    # With fewer rows than dimensions the singular values of n x m inner products are the cheaper way, and the
    # exact one: no square root of a covariance that has no full rank is taken.
    return _by_rows(x, y) if min(len(x), len(y)) <= x.shape[1] else _by_columns(x, y)


def _distance(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " m"]]:
    """The distance, and the influence of each row of x and of y on it."""
    shift = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    overlap = _overlap(x, y)
    variance = (x**2).sum() / (len(x) - 1) + (y**2).sum() / (len(y) - 1)
    value = max(0.0, float(shift @ shift + variance - 2 * overlap.trace))
    influence_x = 2 * x @ shift + (x**2).sum(1) - overlap.pull_x
    influence_y = -2 * y @ shift + (y**2).sum(1) - overlap.pull_y
    return value, influence_x, influence_y


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """|m1 - m2|² + tr(S1 + S2 - 2 sqrt(S1 S2)), of the means m and unbiased covariances S of x and y.

    tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues of S1^½ S2 S1^½; where a set has no more
    rows than dimensions, ‖X1 X2ᵀ‖_* / sqrt((n-1)(m-1)) of the centred rows (singular values summed). float64.

    Range: [0, inf), 0 for sets of equal mean and covariance; its expectation falls with n, m, so that a value
        means little beside one of another n.
    Raises: UserError as `checked`.
    Source: Dowson and Landau, Journal of Multivariate Analysis 12 (1982); of generators arXiv:1706.08500.
    """
    return _distance(*checked(x, y))[0]


@dataclass
class FID:
    """frechet_distance of generated and reference features.

    The interval is of the distance expected at these n and m (which carries their bias; the floor at the same
    n shows how much). It resamples each row's influence (the gradient of the distance in S1 is I - T1).
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`fid`."""
        value, *influence = _distance(*checked(generated.values, real.values))
        return {"fid": around(value, influence, rng, self.bootstrap, low=0.0)}
