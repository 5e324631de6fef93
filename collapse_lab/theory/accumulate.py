"""The Gaussian chain when data accumulate: each generation is fitted to all rows so far, or to a subsample of them.

Generation g adds M_g rows to the pool (M_0 real ones, then draws of generation g - 1), N_g = M_0 + … + M_g. The
moments are exact for any real distribution of finite variance σ² that is refitted by its mean and variance, and in d
dimensions for the covariance in every direction. The pool's own mean and sum of squares are a Markov chain whose
expectations follow linear recursions. The derivations use nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int
from scipy.special import rgamma

from collapse_lab.theory.arguments import (
    Estimator,
    GaussianMoments,
    SampleSizes,
    at,
    divisor,
    last,
    positive,
    sizes_until,
)


def accumulate_moments(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> GaussianMoments:
    """Return E σ_g² = σ² Π_{i≤g} (1 - M_i/N_i²) (ML), or σ² Π_{1≤i≤g} (1 - M_i/(N_i (N_i - 1))) (unbiased).

    Also return E (μ_g - μ)² = Σ_{i≤g} E σ_{i-1}² M_i/N_i², which is σ² - E σ_g² under ML. At constant M a factor
    is 1 - 1/(i² M), i the number of fits. The divisor N - 1 is not unbiased beyond generation 0: the rows of one
    generation share its error, and a pool of several generations varies less about its own mean than independent rows
    would. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation adds; M_0 ≥ 2, the others ≥ 1.
        estimator: What the variance is divided by: "unbiased" (N - 1) or "ml" (N).
        variance: σ² of the real distribution, above 0.

    Returns:
        Variance and squared error of the mean of each generation, (g,) each.

    Raises:
        UserError: A generation is negative, a size is too small, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: arXiv:2410.16713 (accumulate; its released code divides by N); derived here.
    """
    positive("variance", variance)
    sizes_until(np.zeros(1, np.int64), sizes)  # the first batch needs two rows, a later one may be a single row
    m = sizes_until(generations, sizes, least=1)
    n = np.cumsum(m)
    kept = 1 - m / (n * divisor(n, estimator))
    kept[0] = (m[0] - 1) / divisor(m[:1], estimator)[0]
    after = variance * np.cumprod(kept)
    before = np.concatenate([[variance], after[:-1]])
    return GaussianMoments(at(generations, after), at(generations, np.cumsum(before * m / n**2)))


def accumulate_variance_limit(size: int, estimator: Estimator, variance: float = 1.0) -> float:
    """Return lim E σ_g² at constant M: σ² sin(π/√M)/(π/√M) (ML), or σ² Γ(2 - 1/M)/(Γ(2 - a) Γ(2 - b)) (unbiased).

    a, b = (1 ± √(1 + 4M))/(2M). The limit is never 0: with maximum likelihood it is about σ² (1 - π²/(6M)). Exact. Both
    are the limits of the products of `accumulate_moments`, the first by Euler's product of the sine.

    Args:
        size: M, the rows that every generation adds, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (N - 1) or "ml" (N).
        variance: σ² of the real distribution, above 0.

    Raises:
        UserError: The size is below 2, or the variance is not above 0.

    Source: arXiv:2410.16713 (the first, recalled); derived here.
    """
    positive("variance", variance)
    sizes_until(np.zeros(1, np.int64), size)
    if estimator == "ml":
        return variance * float(np.sinc(1 / math.sqrt(size)))
    return variance * _product(1 / size, 1 / size)


def subsample_moments(
    generations: Int[np.ndarray, " g"], size: int, batch: int, estimator: Estimator, variance: float = 1.0
) -> GaussianMoments:
    """Return E σ_g² = β V and E (μ_g - μ)² = P + V (1/n - 1/N) of chains fitted to n rows drawn from a growing pool.

    V' = V · [N - 1 + (m - 1) β + (N m/N') (1/n - 1/N + β/m)]/(N' - 1), with β = 1 (unbiased) or 1 - 1/n (ML), is the
    expectation of the pool's variance (divided by N - 1). P' = P + V (m/N')² (1/n - 1/N + β/m) is that of the squared
    error of the pool's mean. Generation 0 is fitted to n = `size` real rows, which start the pool. Every generation
    then adds m = `batch` rows to it, N' = N + m, and the next is fitted to n of them drawn without replacement. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        size: n, the rows that each generation is fitted to, ≥ 2.
        batch: m, the rows that each generation adds to the pool, ≥ 1.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Returns:
        Variance and squared error of the mean of each generation, (g,) each.

    Raises:
        UserError: A generation is negative, the size is below 2, or the batch or the variance is not above 0.

    Source: arXiv:2410.16713 (accumulate-subsample; its released code divides by n and draws without replacement);
        the recursion is derived here.
    """
    positive("variance", variance)
    positive("batch", batch)
    n = float(sizes_until(np.zeros(1, np.int64), size)[0])
    beta = (n - 1) / float(divisor(np.array([n]), estimator)[0])
    pool, spread, error = n, variance, variance / n
    rows = []
    for _ in range(last(generations) + 1):
        rows.append((beta * spread, error + spread * (1 / n - 1 / pool)))
        grown = pool + batch
        apart = 1 / n - 1 / pool + beta / batch  # E (mean of the batch - mean of the pool)² over V
        error += spread * (batch / grown) ** 2 * apart
        spread *= (pool - 1 + (batch - 1) * beta + pool * batch / grown * apart) / (grown - 1)
        pool = grown
    values = at(generations, np.array(rows))
    return GaussianMoments(values[:, 0], values[:, 1])


def subsample_variance_limit(size: int, estimator: Estimator, variance: float = 1.0) -> float:
    """Return lim E σ_g² = σ² (1 - 1/M) Γ(2 - 1/M)/(Γ(2 - a) Γ(2 - b)) (ML, batch = size = M), or infinity (unbiased).

    a, b = (1 ± √(12M - 3))/(2M). With maximum likelihood it is about σ² (1 - (π²/2 - 2)/M), below the limit of
    `accumulate_variance_limit`. With the divisor M - 1 it is infinite: V' = V (k² - 3/M)/(k (k - 1/M)) of the pool of k
    batches, so E σ_g² grows as g^{1/M}.

    Args:
        size: M, the rows that each generation is fitted to and adds to the pool, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Raises:
        UserError: The size is below 2, or the variance is not above 0.

    Source: derived here, the limit of `subsample_moments`.
    """
    positive("variance", variance)
    sizes_until(np.zeros(1, np.int64), size)
    if estimator == "unbiased":
        return math.inf
    return variance * (1 - 1 / size) * _product(1 / size, (3 * size - 1) / size**2)


def _product(b: float, c: float) -> float:
    """Return Π_{k≥2} (k² - b k - c)/(k (k - b)) = Γ(2 - b)/(Γ(2 - x) Γ(2 - y)), x and y the roots of k² - b k - c."""
    root = math.sqrt(b**2 + 4 * c)
    return float(rgamma(2 - (b + root) / 2) * rgamma(2 - (b - root) / 2) / rgamma(2 - b))
