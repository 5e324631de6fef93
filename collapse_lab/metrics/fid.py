"""Compute the Fréchet distance between Gaussians fitted to two sets of features (FID)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from collapse_lab.metrics.intervals import around, without_noise_of_the_slope
from collapse_lab.metrics.symmetric import add_product, congruent, forms, scatter, times_lower
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split

ROUNDING = torch.finfo(torch.float64).eps


class Gaussian(NamedTuple):
    """Hold the Gaussian that is fitted to a set of rows.

    Attributes:
        rows: the number of rows.
        mean: their mean, (d,).
        covariance: their unbiased covariance (d, d), of which only the lower triangle is to be read.
    """

    rows: int
    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]


@dataclass(frozen=True)
class Rooted:
    """Hold a Gaussian by a root of its covariance.

    Attributes:
        mean: the mean, (d,).
        root: R with R Rᵀ = S, as `_root` returns it, (d, r).
    """

    mean: Float[Tensor, " d"]
    root: Float[Tensor, "d r"]

    @cached_property
    def triangular(self) -> bool:
        """Return whether the root is lower triangular; if not, its columns are at right angles."""
        return self.root.shape[0] == self.root.shape[1] and not bool(self.root.triu(1).any())

    def times(self, b: Float[Tensor, "r s"]) -> Float[Tensor, "d s"]:
        """Return R B."""
        return times_lower(self.root, b) if self.triangular else self.root @ b

    def inverse_times(self, b: Float[Tensor, "r s"]) -> Float[Tensor, "d s"]:
        """Return R⁻ᵀ B, on the range of S."""
        if not self.triangular:
            return (self.root / (self.root**2).sum(0)) @ b
        solved: Tensor = torch.linalg.solve_triangular(self.root.T, b, upper=True)
        return solved


def gaussian(x: Float[Tensor, "n d"]) -> Gaussian:
    """Return the Gaussian that is fitted to some rows, in float64."""
    mean = x.sum(0, dtype=torch.float64) / len(x)
    return Gaussian(len(x), mean, scatter(x, mean) / (len(x) - 1))


def rooted(of: Gaussian) -> Rooted:
    """Return a Gaussian by a root of its covariance."""
    return Rooted(of.mean, _root(of.covariance))


def joined(a: Gaussian, b: Gaussian) -> Gaussian:
    """Return the Gaussian of the rows of two disjoint sets."""
    count = a.rows + b.rows
    shift = b.mean - a.mean
    sums = (a.rows - 1) * a.covariance + (b.rows - 1) * b.covariance
    sums.addr_(shift, shift, alpha=a.rows * b.rows / count)
    return Gaussian(count, a.mean + b.rows / count * shift, sums / (count - 1))


def maps(of_x: Gaussian, of_y: Rooted) -> tuple[Float[Tensor, ""], Float[Tensor, "d d"], Float[Tensor, "d d"]]:
    """Return tr sqrt(S1 S2), the optimal map T1 from N(0, S1) to N(0, S2), and its inverse T2.

    Only the lower triangles are to be read. Where a covariance lacks full rank, the maps are right on its range.
    """
    squares, basis = _range(_middle(of_x, of_y))
    # T1 = R (Rᵀ S1 R)^-½ Rᵀ and T2 = R⁻ᵀ (Rᵀ S1 R)^½ R⁻¹, for any R with R Rᵀ = S2
    there = _square(of_y.times(basis * squares**-0.25))
    back = _square(of_y.inverse_times(basis * squares**0.25))
    return squares.sqrt().sum(), there, back


def _middle(of_x: Gaussian, of_y: Rooted) -> Float[Tensor, "r r"]:
    """Return Rᵀ S1 R, of which only the lower triangle is to be read."""
    if of_y.triangular:
        return congruent(of_x.covariance, of_y.root)
    full = of_x.covariance.tril() + of_x.covariance.tril(-1).T
    return of_y.root.T @ full @ of_y.root


def _square(factor: Float[Tensor, "d r"]) -> Float[Tensor, "d d"]:
    total = factor.new_zeros(len(factor), len(factor))
    add_product(total, factor, factor)
    return total


def _root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d r"]:
    """Return R with R Rᵀ = S: lower triangular, or with columns at right angles where S lacks full rank."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal()
    if int(failed) or float(pivots.min()) <= ROUNDING**0.5 * float(pivots.max()):
        scale, axes = _range(matrix)  # because without full rank there is no triangular factor
        factor = axes * scale.sqrt()
    return factor


def _range(matrix: Float[Tensor, "d d"]) -> tuple[Float[Tensor, " r"], Float[Tensor, "d r"]]:
    """Return the eigenvalues that are above rounding, and their eigenvectors; only the lower triangle is read."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = _above_rounding(values)
    return values[kept], vectors[:, kept]


def _above_rounding(eigenvalues: Float[Tensor, " d"]) -> Bool[Tensor, " d"]:
    # A zero eigenvalue may be computed as 1e-16. Its square root, 1e-8, would then count once for every missing
    # rank, so we leave such eigenvalues out.
    return eigenvalues > len(eigenvalues) * ROUNDING * float(eigenvalues.norm())


def _few(n: int, m: int, d: int) -> bool:
    # With fewer rows than dimensions, the singular values of n x m inner products are cheaper. They are also exact,
    # because no square root of a covariance without full rank is needed.
    return min(n, m) <= d


def distance_and_influence(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], of_x: Gaussian | None = None, of_y: Rooted | None = None
) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the Fréchet distance, and the influence of each row of x and of y on it.

    Args:
        x: the first set (n, d), n >= 2.
        y: the second set (m, d), m >= 2.
        of_x: `gaussian(x)`, where it is known.
        of_y: `rooted(gaussian(y))`, where it is known. Both are needed only with more rows than dimensions.

    Returns:
        The distance, 0 or more, and the influences (n,) and (m,), as `intervals.around` takes them.
    """
    if _few(len(x), len(y), x.shape[1]):
        return _from_rows(x.double(), y.double())
    of_x, of_y = of_x or gaussian(x), of_y or rooted(gaussian(y))
    trace, there, back = maps(of_x, of_y)
    shift = of_x.mean - of_y.mean
    # |x_i|² - x_iᵀ T1 x_i is one form, that of I - T1
    influence_x = forms(x, of_x.mean, _one_less(there), 2 * shift)
    influence_y = forms(y, of_y.mean, _one_less(back), -2 * shift)
    return max(0.0, _rest(of_x, of_y) - 2 * float(trace)), influence_x, influence_y


def _one_less(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Return I - A, in the place of A."""
    matrix.neg_().diagonal().add_(1)
    return matrix


def _rest(of_x: Gaussian, of_y: Rooted) -> float:
    """Return |m1 - m2|² + tr(S1 + S2)."""
    shift = of_x.mean - of_y.mean
    return float(shift @ shift + of_x.covariance.trace() + (of_y.root**2).sum())


def _from_rows(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return what `distance_and_influence` returns, where a set has no more rows than dimensions."""
    shift = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    n, m = len(x) - 1, len(y) - 1
    left, sigma, right = torch.linalg.svd(x @ y.T, full_matrices=False)
    sigma = sigma / (n * m) ** 0.5
    own_x, own_y = (x**2).sum(1), (y**2).sum(1)
    rest = shift @ shift + own_x.sum() / n + own_y.sum() / m
    # x_iᵀ T1 x_i and y_iᵀ T2 y_i, with the optimal maps T1 and T2, follow from the singular vectors
    influence_x = 2 * x @ shift + own_x - n * (left**2 @ sigma)
    influence_y = -2 * y @ shift + own_y - m * (sigma @ right**2)
    return max(0.0, float(rest - 2 * sigma.sum())), influence_x, influence_y


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
    return _distance(*validated(x, y))


def _distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], of_y: Rooted | None = None) -> float:
    if _few(len(x), len(y), x.shape[1]):
        x, y = x.double(), y.double()
        shift = x.mean(0) - y.mean(0)
        x, y = (x - x.mean(0)) / (len(x) - 1) ** 0.5, (y - y.mean(0)) / (len(y) - 1) ** 0.5
        rest, roots = float(shift @ shift + (x**2).sum() + (y**2).sum()), torch.linalg.svdvals(x @ y.T)
    else:
        of_x, of_y = gaussian(x), of_y or rooted(gaussian(y))
        squares = torch.linalg.eigvalsh(_middle(of_x, of_y))
        rest, roots = _rest(of_x, of_y), squares[_above_rounding(squares)].sqrt()
    return max(0.0, rest - 2 * float(roots.sum()))


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

    def of_real(self, real: FeatureSet) -> dict[str, Tensor]:
        """Return the mean of the real rows and a root of their covariance, where they are more than the dimensions."""
        y = validated(real.values, real.values)[1]
        if _few(len(y), len(y), y.shape[1]):
            return {}
        of_y = rooted(gaussian(y))
        return {"mean": of_y.mean, "root": of_y.root}

    def __call__(
        self,
        generated: FeatureSet,
        real: FeatureSet,
        rng: np.random.Generator,
        known: Mapping[str, Tensor] | None = None,
    ) -> Mapping[str, Estimate]:
        """Return `fid`."""
        x, y = validated(generated.values, real.values)
        with torch.inference_mode():
            facts = self.of_real(real) if known is None else known
            of_y = Rooted(**{name: values.to(y.device) for name, values in facts.items()}) if facts else None
            if self.bootstrap < 2:
                return {"fid": Estimate(_distance(x, y, of_y))}
            value, influence = self._value_and_influence(x, y, of_y, rng)
        return {"fid": around(value, influence, rng, self.bootstrap, low=0.0, root=True)}

    def _value_and_influence(
        self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], of_y: Rooted | None, rng: np.random.Generator
    ) -> tuple[float, list[Float[Tensor, " _"]]]:
        if min(len(x), len(y)) < 4:
            value, *influence = distance_and_influence(x, y, None, of_y)
            return value, influence
        orders = [torch.from_numpy(rng.permutation(len(rows))).to(rows.device) for rows in (x, y)]
        half_x, half_y = (rows[order[::2]] for rows, order in zip((x, y), orders, strict=True))
        of_x = of_half = None
        if not _few(len(half_x), len(half_y), x.shape[1]):
            of_half = gaussian(half_x)
            of_x = joined(of_half, gaussian(x[orders[0][1::2]]))
        value, *influence = distance_and_influence(x, y, of_x, of_y)
        _, *influence_of_half = distance_and_influence(half_x, half_y, of_half)
        return value, without_noise_of_the_slope(influence, influence_of_half)
