"""The Gaussian chain when data accumulate: fitted to everything so far, or to a subsample of it.

Generation g adds M_g rows to the pool (M_0 real ones, then draws of generation g - 1), N_g = M_0 + … + M_g. GaussianMoments
are exact for any real distribution of finite variance σ² that is refitted by its mean and variance, and in d
dimensions for the covariance in every direction. The pool's own mean and sum of squares are a Markov chain whose
expectations follow linear recursions; nothing else is used.
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
    """E σ_g² = σ² Π_{i≤g} (1 - M_i/N_i²) (ML), or σ² Π_{1≤i≤g} (1 - M_i/(N_i (N_i - 1))) (M - 1 for M). Exact.

    E (μ_g - μ)² = Σ_{i≤g} E σ_{i-1}² M_i/N_i², which is σ² - E σ_g² under maximum likelihood. At constant M a factor
    is 1 - 1/(i² M), i the number of fits. The divisor N - 1 is not unbiased beyond generation 0: the rows of one
    generation share its error, and a pool of several varies less about its own mean than independent rows would.

    Raises: UserError as `sizes_until`.
    Source: arXiv:2410.16713 (accumulate; its released code divides by N); derived here.
    """
    positive("variance", variance)
    sizes_until(np.zeros(1, np.int64), sizes)  # a later batch may be a single row, the first may not
    m = sizes_until(generations, sizes, least=1)
    n = np.cumsum(m)
    kept = 1 - m / (n * divisor(n, estimator))
    kept[0] = (m[0] - 1) / divisor(m[:1], estimator)[0]
    after = variance * np.cumprod(kept)
    before = np.concatenate([[variance], after[:-1]])
    return GaussianMoments(at(generations, after), at(generations, np.cumsum(before * m / n**2)))


def accumulate_variance_limit(size: int, estimator: Estimator, variance: float = 1.0) -> float:
    """σ² sin(π/√M)/(π/√M) (ML), or σ² Γ(2 - 1/M)/(Γ(2 - a) Γ(2 - b)), a, b = (1 ± √(1 + 4M))/(2M) (M - 1 for M).

    lim E σ_g² at constant M, never 0: about σ² (1 - π²/(6M)) with maximum likelihood. Exact; both are the limits of
    the products of `accumulate_moments`, the first by Euler's product of the sine.

    Raises: UserError: the size is below 2.
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
    """V' = V · [N - 1 + (m - 1) β + (N m/N') (1/n - 1/N + β/m)]/(N' - 1), E σ_g² = β V, β = 1 or 1 - 1/n. Exact.

    Generation 0 is fitted to n = `size` real rows, which start the pool; every generation then adds m = `batch` rows
    to it, N' = N + m, and the next is fitted to n of them drawn without replacement. V is the expectation of the
    pool's variance (divided by N - 1), P that of its squared error of the mean: P' = P + V (m/N')² (1/n - 1/N + β/m),
    and E (μ_g - μ)² = P + V (1/n - 1/N).

    Raises: UserError: a size below 2, a batch below 1.
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
    """σ² (1 - 1/M) Γ(2 - 1/M)/(Γ(2 - a) Γ(2 - b)), a, b = (1 ± √(12M - 3))/(2M): maximum likelihood, batch = size = M.

    lim E σ_g², about σ² (1 - (π²/2 - 2)/M), below the limit of `accumulate_variance_limit`. With the divisor M - 1
    it is infinite: V' = V (k² - 3/M)/(k (k - 1/M)) of the pool of k batches, so that E σ_g² grows as g^{1/M}.

    Raises: UserError: the size is below 2.
    Source: derived here, the limit of `subsample_moments`.
    """
    positive("variance", variance)
    sizes_until(np.zeros(1, np.int64), size)
    if estimator == "unbiased":
        return math.inf
    return variance * (1 - 1 / size) * _product(1 / size, (3 * size - 1) / size**2)


def _product(b: float, c: float) -> float:
    """Π_{k≥2} (k² - b k - c)/(k (k - b)) = Γ(2 - b)/(Γ(2 - x) Γ(2 - y)), x and y the roots of k² - b k - c."""
    root = math.sqrt(b**2 + 4 * c)
    return float(rgamma(2 - (b + root) / 2) * rgamma(2 - (b - root) / 2) / rgamma(2 - b))
