"""Self-consuming loops of Gaussians: fully synthetic with a biased sampler, with kept real rows, with fresh real rows.

λ is the sampling bias of the paper: rows are drawn from N(μ_g, λ Σ_g). It is below 1 for a sampler that prefers
quality to variety. Generation 0 trains on real rows, which have no bias. Every result is exact, for Gaussian data or
any other of finite variance that is refitted by its mean and covariance. In d dimensions it holds for the covariance
in every direction, and for its trace and |μ_g - μ|².

A fit of r rows of mean a and s synthetic ones of mean b has the mean (r a + s b)/n, n = r + s, and the sum of squares
S_r + S_s + (r s/n)(a - b)²: so v_g = E variance_g and m_g = E (μ_g - μ)² follow a linear recursion.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import Estimator, GaussianMoments, SampleSizes, at, divisor, last, positive
from collapse_lab.theory.gaussian import expected_variance


class FixedPoint(NamedTuple):
    """Hold the limits of E variance_g and E (μ_g - μ)²."""

    variance: float
    mean_error: float


def biased_variance(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, bias: float, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E variance_g = λ^g σ² (unbiased), times Π_{i≤g} (1 - 1/M_i) (ML), of the fully synthetic loop. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        bias: λ, the sampling bias, above 0.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the bias or the
            variance is not above 0.

    Source: arXiv:2307.01850 (fully synthetic loop); derived here.
    """
    positive("bias", bias)
    kept: np.ndarray = bias**generations * expected_variance(generations, sizes, estimator, variance)
    return kept


def fresh_moments(
    generations: Int[np.ndarray, " g"],
    real: int,
    synthetic: int,
    initial: int,
    bias: float,
    estimator: Estimator,
    variance: float = 1.0,
) -> GaussianMoments:
    """Return v and m of v' = [σ² (r - 1 + s/n) + λ v (s - 1 + r/n) + (r s/n) m]/(n - 1 or n), real rows fresh. Exact.

    m' = (r σ² + s λ v + s² m)/n². Every generation trains on r = `real` rows that were never seen before and s =
    `synthetic` rows of the generation before; generation 0 trains on `initial` real rows.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        real: r, ≥ 0.
        synthetic: s, ≥ 0; r + s ≥ 2.
        initial: The real rows of generation 0, ≥ 2.
        bias: λ, the sampling bias, above 0.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Returns:
        Variance and squared error of the mean of each generation, (g,) each.

    Raises:
        UserError: A number is outside its range.

    Source: arXiv:2307.01850 (fresh data loop, which it simulates); derived here.
    """
    matrix, forcing = _fresh(real, synthetic, bias, estimator, variance)
    return _iterate(generations, matrix, forcing, _first(initial, estimator, variance))


def fresh_fixed_point(
    real: int, synthetic: int, bias: float, estimator: Estimator, variance: float = 1.0
) -> FixedPoint:
    """Return the fixed point of the recursion of `fresh_moments`, which does not depend on `initial`. Exact.

    For λ = 1 and maximum likelihood m = σ² n/(r² + 2 r s + s) and v = σ² - m. So for every s the mean is known better
    than from r real rows alone, and never better than from 2 r + 1 real rows.

    Args:
        real: r, the fresh real rows of every generation, ≥ 0.
        synthetic: s, the synthetic rows of every generation, ≥ 0; r + s ≥ 2.
        bias: λ, the sampling bias, above 0.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Raises:
        UserError: A number is outside its range, or there is no fixed point, for example with r = 0 and λ = 1.

    Source: arXiv:2307.01850 (its limit independent of the first generation); derived here.
    """
    return _solve(*_fresh(real, synthetic, bias, estimator, variance))


def augmented_moments(
    generations: Int[np.ndarray, " g"],
    real: int,
    synthetic: int,
    bias: float,
    estimator: Estimator,
    variance: float = 1.0,
) -> GaussianMoments:
    """Return v and σ²/r + m of v' = [σ² (r - 1) + λ v (s - 1 + r/n) + (r s/n) m]/(n - 1 or n), real rows kept. Exact.

    m' = (s λ v + s² m)/n². Every generation trains on the same r real rows, and on s rows of the generation before
    (policy `augment`). m is about the mean of those real rows: the chain wanders about it with no drift.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        real: r, ≥ 2.
        synthetic: s, ≥ 0.
        bias: λ, the sampling bias, above 0.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Returns:
        Variance v and squared error of the mean σ²/r + m of each generation, (g,) each.

    Raises:
        UserError: A number is outside its range.

    Source: derived here, for the latest generation only; arXiv:2307.01850 (synthetic augmentation loop).
    """
    matrix, forcing = _augmented(real, synthetic, bias, estimator, variance)
    start = np.array([_first(real, estimator, variance)[0], 0.0])
    moments = _iterate(generations, matrix, forcing, start)
    return GaussianMoments(moments.variance, moments.mean_error + variance / real)


def augmented_fixed_point(
    real: int, synthetic: int, bias: float, estimator: Estimator, variance: float = 1.0
) -> FixedPoint:
    """Return the limits of `augmented_moments`. Exact.

    Args:
        real: r, the real rows that every generation keeps, ≥ 2.
        synthetic: s, the synthetic rows of every generation, ≥ 0.
        bias: λ, the sampling bias, above 0.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Raises:
        UserError: A number is outside its range, or there is no fixed point, for example for a bias well above 1.

    Source: derived here.
    """
    limit = _solve(*_augmented(real, synthetic, bias, estimator, variance))
    return FixedPoint(limit.variance, limit.mean_error + variance / real)


def _fresh(
    real: int, synthetic: int, bias: float, estimator: Estimator, variance: float
) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, " 2"]]:
    """Return matrix and forcing of the recursion of (v, m)."""
    matrix, denominator = _synthetic_part(real, synthetic, bias, estimator, variance)
    n = real + synthetic
    return matrix, variance * np.array([(real - 1 + synthetic / n) / denominator, real / n**2])


def _augmented(
    real: int, synthetic: int, bias: float, estimator: Estimator, variance: float
) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, " 2"]]:
    matrix, denominator = _synthetic_part(real, synthetic, bias, estimator, variance)
    if real < 2:
        raise UserError(f"an augmented loop needs at least 2 real rows; got {real}")
    return matrix, np.array([variance * (real - 1) / denominator, 0.0])


def _synthetic_part(
    real: int, synthetic: int, bias: float, estimator: Estimator, variance: float
) -> tuple[Float[np.ndarray, "2 2"], float]:
    positive("bias", bias)
    positive("variance", variance)
    if real < 0 or synthetic < 0 or real + synthetic < 2:
        raise UserError(f"a generation needs at least 2 rows; got {real} real and {synthetic} synthetic ones")
    r, s, n = real, synthetic, real + synthetic
    denominator = float(divisor(np.array([n], float), estimator)[0])
    own = bias * (s - 1 + r / n) if s else 0.0
    return np.array([[own / denominator, r * s / n / denominator], [s * bias / n**2, (s / n) ** 2]]), denominator


def _first(initial: int, estimator: Estimator, variance: float) -> Float[np.ndarray, " 2"]:
    start = expected_variance(np.zeros(1, np.int64), initial, estimator, variance)
    return np.array([start[0], variance / initial])


def _iterate(
    generations: Int[np.ndarray, " g"],
    matrix: Float[np.ndarray, "2 2"],
    forcing: Float[np.ndarray, " 2"],
    start: Float[np.ndarray, " 2"],
) -> GaussianMoments:
    states = [start]
    for _ in range(last(generations)):
        states.append(matrix @ states[-1] + forcing)
    values = at(generations, np.array(states))
    return GaussianMoments(values[:, 0], values[:, 1])


def _solve(matrix: Float[np.ndarray, "2 2"], forcing: Float[np.ndarray, " 2"]) -> FixedPoint:
    radius = float(np.abs(np.linalg.eigvals(matrix)).max())
    if radius >= 1 - 1e-12:
        raise UserError(
            f"this loop has no fixed point: its spectral radius is {radius:.6g} and should be below 1; add real rows "
            "or lower the bias"
        )
    variance, mean_error = np.linalg.solve(np.eye(2) - matrix, forcing)
    return FixedPoint(float(variance), float(mean_error))
