"""The one-dimensional Gaussian chain: each generation is the mean and variance of M_g draws of the generation before.

With z of N(0, 1) and independent χ² of M_g - 1 degrees of freedom (Cochran's theorem),
    μ_g = μ_{g-1} + σ_{g-1} z/√M_g,    σ_g² = σ_{g-1}² χ²/(M_g - 1 or M_g),
so σ_g² is σ² times a product of independent factors. Every result is exact for any M_i ≥ 2, except those that are
called first order. σ² is the variance of the real distribution, argument `variance`.

An average over replicas follows E σ_g² only while `variance_of_variance` is small. For the unbiased estimator it
grows as e^{2g/M}: beyond a few times M generations the mean depends on replicas that are too rare to be drawn.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import poch

from collapse_lab.theory.arguments import Estimator, SampleSizes, at, divisor, positive, sizes_until
from collapse_lab.theory.schedules import inverse_sum


def expected_variance(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E σ_g² = σ² (unbiased), or σ² Π_{i≤g} (1 - 1/M_i) (maximum likelihood). Exact.

    It holds for any real distribution of finite variance, and for the trace and every direction in d dimensions.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers in (0, σ²], (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here; (1 - 1/M)^n of n fits in arXiv:2305.17493.
    """
    positive("variance", variance)
    m = sizes_until(generations, sizes)
    return at(generations, variance * np.cumprod((m - 1) / divisor(m, estimator)))


def expected_std(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E σ_g = σ Π_{i≤g} √(2/(M_i - 1 or M_i)) Γ(M_i/2)/Γ((M_i - 1)/2). Exact, for Gaussian data.

    It falls under either estimator: by 1 - 1/(4M) a fit (unbiased) or 1 - 3/(4M) (maximum likelihood), to first order.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers in (0, σ), (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here, from the mean of the χ distribution.
    """
    positive("variance", variance)
    m = sizes_until(generations, sizes)
    factors = np.sqrt(2 / divisor(m, estimator)) * poch((m - 1) / 2, 0.5)
    return at(generations, np.sqrt(variance) * np.cumprod(factors))


def variance_of_variance(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return Var σ_g² = (E σ_g²)² (Π_{i≤g} (1 + 2/(M_i - 1)) - 1). Exact, for Gaussian data.

    Over R replicas the standard error of the mean of σ_g² is the square root of this over R.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here, from the moments of χ².
    """
    positive("variance", variance)
    m = sizes_until(generations, sizes)
    mean = variance * np.cumprod((m - 1) / divisor(m, estimator))
    return at(generations, mean**2 * np.expm1(np.cumsum(np.log1p(2 / (m - 1)))))


def variance_of_mean(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return Var μ_g = Σ_{i≤g} E σ_{i-1}²/M_i = σ² Σ_{i≤g} 1/M_i (unbiased), or σ² - E σ_g² (ML). Exact.

    In the first case it is that of a random walk without bound. In the second the sum telescopes, and it never passes
    σ². It holds for any real distribution of finite variance, and in d dimensions for the trace.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here; σ² n/M of n fits in arXiv:2305.17493.
    """
    positive("variance", variance)
    m = sizes_until(generations, sizes)
    kept = np.cumprod((m - 1) / divisor(m, estimator))
    before = np.concatenate([[1.0], kept[:-1]])
    return at(generations, variance * np.cumsum(before / m))


def marginal_variance(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return Var of one draw of generation g, over chains: σ² (1 + Σ_{i≤g} 1/M_i) (unbiased), or σ² (ML). Exact.

    The paper has σ² (1 + n/M) + O(M⁻²) after n fits. With the unbiased estimator there is no remainder, and with
    maximum likelihood (its released code, `np.std`) nothing grows at all.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers ≥ σ², (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: arXiv:2305.17493, of the one-dimensional Gaussian; the exact forms are derived here.
    """
    within = expected_variance(generations, sizes, estimator, variance)
    total: np.ndarray = within + variance_of_mean(generations, sizes, estimator, variance)
    return total


def wasserstein_risk(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E W₂² = E (μ_g - μ)² + E (σ_g - σ)² = Var μ_g + E σ_g² + σ² - 2σ E σ_g. Exact, for Gaussian data.

    With the unbiased estimator it is σ² Σ 1/M_i + 2σ (σ - E σ_g), which grows without bound. With maximum likelihood it
    is 2σ (σ - E σ_g), which never passes 2σ², however many generations there are: "the risk diverges" (Theorem 3.1)
    needs the unbiased estimator.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here; its first order is `wasserstein_risk_first_order`.
    """
    std = expected_std(generations, sizes, estimator, variance)
    risk: np.ndarray = marginal_variance(generations, sizes, estimator, variance) + variance - 2 * variance**0.5 * std
    return risk


def wasserstein_risk_first_order(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E W₂² ≈ (3/2) σ² (1/M_0 + … + 1/M_g), with either estimator. First order in Σ 1/M_i, and not a bound.

    The share σ² Σ 1/M_i comes from the mean, which wanders; the rest comes from the standard deviation. The exact risk
    lies above it after one fit, by O(M⁻²), and below it after a few. Under maximum likelihood the two separate for good
    as Σ 1/M_i grows.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 1.
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: arXiv:2305.17493, of the one-dimensional Gaussian (risk of model n + 1 there is generation n here).
    """
    positive("variance", variance)
    risk: np.ndarray = 1.5 * variance * inverse_sum(generations, sizes)
    return risk
