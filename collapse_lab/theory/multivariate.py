"""The Gaussian chain in d dimensions: which directions are lost, and when.

Each generation is the sample mean and covariance of M_g draws of the one before, so Σ_g = A W Aᵀ/(M_g - 1 or M_g),
with A Aᵀ = Σ_{g-1} and W a standard Wishart matrix of M_g - 1 degrees of freedom. Σ is the covariance of the real
distribution, argument `eigenvalues` (d,). Trace and mean follow `gaussian.expected_variance` and
`gaussian.variance_of_mean` with Tr Σ as the variance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import psi

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import Estimator, SampleSizes, at, divisor, positive, sizes_until
from collapse_lab.theory.gaussian import variance_of_mean
from collapse_lab.theory.schedules import inverse_sum


def wasserstein_lower_bound(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, eigenvalues: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " g"]:
    """Return a bound E W₂² ≥ E |μ_g - μ|² = Tr Σ · Σ_{i≤g} 1/M_i (unbiased), or Tr Σ · (1 - Π_{i≤g} (1 - 1/M_i)) (ML).

    It leaves out the covariances' share, which is never negative; so the bound is exact for any distribution of finite
    variance that is refitted by its mean. The paper states the first form without its remainder's sign: the second
    shows that it fails with maximum likelihood, where the risk of one dimension never passes 2σ².

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the covariance is divided by: "unbiased" (M - 1) or "ml" (M).
        eigenvalues: Those of Σ, (d,), ≥ 0 and not all 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the eigenvalues
            are not those of a covariance.

    Source: arXiv:2305.17493, of the d-dimensional Gaussian (recalled); derived here.
    """
    return variance_of_mean(generations, sizes, estimator, float(_checked(eigenvalues).sum()))


def wasserstein_risk_first_order(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, eigenvalues: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " g"]:
    """Return E W₂² ≈ [(5/4) Tr Σ + ½ Σ_jk λ_j λ_k/(λ_j + λ_k)] · Σ_{i≤g} 1/M_i. First order, with either estimator.

    Tr Σ is the mean's share. A small change E of Σ costs ½ Σ_jk E_jk²/(λ_j + λ_k), and one fit has
    E E_jk² = λ_j λ_k (1 + δ_jk)/(M - 1). In one dimension it is (3/2) σ² Σ 1/M_i. For Σ = λ I it is
    λ d (1 + (d + 1)/4) Σ 1/M_i, so the covariance's share dominates as d grows.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 1.
        eigenvalues: Those of Σ, (d,), ≥ 0 and not all 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the eigenvalues
            are not those of a covariance.

    Source: derived here, from the second-order expansion of the Bures distance.
    """
    kept = _checked(eigenvalues)
    kept = kept[kept > 0]
    pairs = np.outer(kept, kept) / np.add.outer(kept, kept)
    risk: np.ndarray = (1.25 * kept.sum() + 0.5 * pairs.sum()) * inverse_sum(generations, sizes)
    return risk


def rank(generations: Int[np.ndarray, " g"], sizes: SampleSizes, dimension: int) -> Int[np.ndarray, " g"]:
    """Return rank Σ_g = min(d, M_0 - 1, …, M_g - 1), almost surely, for Σ of full rank d. Exact.

    At constant M the rank falls once, at generation 0, and never again: later generations only shrink what is left.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        dimension: d, above 0.

    Returns:
        Whole numbers in [1, d], (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the dimension is
            not above 0.

    Source: derived here.
    """
    positive("dimension", dimension)
    smallest = at(generations, np.minimum.accumulate(sizes_until(generations, sizes) - 1))
    ranks: np.ndarray = np.minimum(smallest, dimension).astype(np.int64)
    return ranks


def expected_log_determinant(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, eigenvalues: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " g"]:
    """Return E log det Σ_g = log det Σ + Σ_{i≤g} Σ_{j=1}^d [ψ((M_i - j)/2) + log(2/(M_i - 1 or M_i))]. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the covariance is divided by: "unbiased" (M - 1) or "ml" (M).
        eigenvalues: Those of Σ, (d,), ≥ 0 and not all 0.

    Returns:
        Numbers, (g,); -inf where Σ, or a generation with M_i ≤ d, has no full rank.

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the eigenvalues
            are not those of a covariance.

    Source: derived here, from Bartlett's decomposition of the Wishart matrix.
    """
    kept = _checked(eigenvalues)
    m = sizes_until(generations, sizes)
    free = m[:, None] - np.arange(1, len(kept) + 1)  # degrees of freedom of Bartlett's diagonal
    full = free.min(1) > 0
    terms = np.where(full, psi(np.maximum(free, 1) / 2).sum(1) + len(kept) * np.log(2 / divisor(m, estimator)), -np.inf)
    with np.errstate(divide="ignore"):
        return at(generations, np.log(kept).sum() + np.cumsum(terms))


def eigenvalue_rates(size: int, dimension: int, estimator: Estimator) -> Float[np.ndarray, " r"]:
    """Return lim (1/g) log λ_k(Σ_g) = ψ((M - k)/2) + log(2/(M - 1 or M)), k = 1, …, min(d, M - 1), largest first.

    The rates are exact in the limit of many generations, almost surely and for every Σ. Their sum is exact at every
    generation: it is that of `expected_log_determinant`. They are about -k/M a generation (unbiased), so the k-th
    direction is lost k times as fast as the first: the chain ends on one line before it ends in a point.

    Args:
        size: M, the rows that every generation is fitted to, ≥ 2.
        dimension: d, above 0.
        estimator: What the covariance is divided by: "unbiased" (M - 1) or "ml" (M).

    Returns:
        Rates per generation, (min(d, M - 1),).

    Raises:
        UserError: The size is below 2, or the dimension is not above 0.

    Source: Lyapunov exponents of products of Gaussian matrices, C. M. Newman, Communications in Mathematical
        Physics 103 (1986); their use here is derived.
    """
    positive("dimension", dimension)
    m = sizes_until(np.zeros(1, np.int64), size)
    k = np.arange(1, min(dimension, size - 1) + 1)
    rates: np.ndarray = psi((size - k) / 2) + np.log(2 / divisor(m, estimator))
    return rates


class SquareTraces(NamedTuple):
    """Hold E Tr(Σ_g²) and E (Tr Σ_g)².

    Attributes:
        trace_of_square: E Tr(Σ_g²) of each generation, (g,).
        square_of_trace: E (Tr Σ_g)² of each generation, (g,).
    """

    trace_of_square: Float[np.ndarray, " g"]
    square_of_trace: Float[np.ndarray, " g"]


def expected_square_traces(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, eigenvalues: Float[np.ndarray, " d"]
) -> SquareTraces:
    """Return a' = E Tr Σ_g² = [(1 + 1/ν) a + b/ν] and b' = E (Tr Σ_g)² = [b + 2a/ν], times (ν/M_g)² under ML. Exact.

    a, b are the two of generation g - 1, ν = M_g - 1, for Gaussian data. The ratio b/a is an effective dimension
    (participation ratio): it is d where all directions weigh the same, and 1 where one is left.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the covariance is divided by: "unbiased" (M - 1) or "ml" (M).
        eigenvalues: Those of Σ, (d,), ≥ 0 and not all 0.

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the eigenvalues
            are not those of a covariance.

    Source: derived here, from the second moments of the Wishart matrix.
    """
    kept = _checked(eigenvalues)
    m = sizes_until(generations, sizes)
    a, b = float((kept**2).sum()), float(kept.sum() ** 2)
    rows = []
    for nu, scale in zip(m - 1, ((m - 1) / divisor(m, estimator)) ** 2, strict=True):
        a, b = scale * ((1 + 1 / nu) * a + b / nu), scale * (b + 2 * a / nu)
        rows.append((a, b))
    values = at(generations, np.array(rows))
    return SquareTraces(values[:, 0], values[:, 1])


def _checked(eigenvalues: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    if not len(eigenvalues) or not np.isfinite(eigenvalues).all() or eigenvalues.min() < 0 or not eigenvalues.any():
        raise UserError(
            f"eigenvalues of a covariance should be 0 or more, and at least one above 0; got {eigenvalues.tolist()}"
        )
    return eigenvalues
