"""The path that nearly every Gaussian chain takes, which is not the path of the mean.

log σ_g² = log σ² + Σ_{i≤g} (log χ²_{M_i-1} - log(M_i - 1 or M_i)) is a sum of independent terms (see `gaussian`). So
the typical variance decays as e^{-g/M} with the unbiased estimator, whose mean stays σ², and as e^{-2g/M} with
maximum likelihood, whose mean decays as e^{-g/M}. Exact for Gaussian data and any M_i ≥ 2.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy.special import loggamma, ndtri, polygamma, psi, roots_legendre

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import Estimator, SampleSizes, at, divisor, positive, sizes_until

NODES = 1024  # nodes of the quadrature
SMALLEST = 1e-5  # from this probability on the inversion has more than six correct digits


def expected_log_variance(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, estimator: Estimator, variance: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return E log σ_g² = log σ² + Σ_{i≤g} [ψ((M_i - 1)/2) + log(2/(M_i - 1 or M_i))]. Exact.

    By the law of large numbers (log σ_g²)/g tends to the mean of one term, below 0: so σ_g goes to 0 almost surely.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, the schedule of sizes is too short, or the variance is
            not above 0.

    Source: derived here; that Σ_n goes to 0 almost surely is Theorem 3.1 of arXiv:2305.17493.
    """
    positive("variance", variance)
    m = sizes_until(generations, sizes)
    terms = psi((m - 1) / 2) + np.log(2 / divisor(m, estimator))
    return at(generations, np.log(variance) + np.cumsum(terms))


def std_of_log_variance(generations: Int[np.ndarray, " g"], sizes: SampleSizes) -> Float[np.ndarray, " g"]:
    """Return √Var log σ_g² = √(Σ_{i≤g} ψ'((M_i - 1)/2)), the same for both estimators; about √(2g/M). Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 2, or the schedule of sizes is too short.

    Source: derived here, from the variance of log χ².
    """
    m = sizes_until(generations, sizes)
    return at(generations, np.sqrt(np.cumsum(polygamma(1, (m - 1) / 2))))


def variance_quantile(
    generations: Int[np.ndarray, " g"],
    probability: float,
    sizes: SampleSizes,
    estimator: Estimator,
    variance: float = 1.0,
) -> Float[np.ndarray, " g"]:
    """Return the q with P(σ_g² ≤ q) = probability; 0.5 gives the typical path. Exact up to quadrature.

    It is exp of `log_variance_quantile`, and 0 where that is below -745: late in a chain no float64 is so small.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        probability: In [1e-5, 1 - 1e-5].
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers of 0 or more, (g,).

    Raises:
        UserError: As `log_variance_quantile`.
    """
    quantiles: np.ndarray = np.exp(log_variance_quantile(generations, probability, sizes, estimator, variance))
    return quantiles


def log_variance_quantile(
    generations: Int[np.ndarray, " g"],
    probability: float,
    sizes: SampleSizes,
    estimator: Estimator,
    variance: float = 1.0,
) -> Float[np.ndarray, " g"]:
    """Return the y with P(log σ_g² ≤ y) = probability. Exact up to quadrature, however small σ_g² is.

    It inverts P(Y ≤ y) = ½ - 1/π ∫_0^∞ Im[e^{-ity} φ(t)]/t dt, where φ is the characteristic function of log σ_g²:
    Π Γ((M_i - 1)/2 + it)/Γ((M_i - 1)/2), except for the shift.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        probability: In [1e-5, 1 - 1e-5].
        sizes: M_g, the rows that each generation is fitted to, ≥ 2.
        estimator: What the variance is divided by: "unbiased" (M - 1) or "ml" (M).
        variance: σ² of the real distribution, above 0.

    Returns:
        Numbers, (g,).

    Raises:
        UserError: The probability is outside its range, a generation is negative, a size is below 2, the schedule of
            sizes is too short, or the variance is not above 0.

    Source: J. Gil-Pelaez, Biometrika 38 (1951); its use here is derived.
    """
    if not SMALLEST <= probability <= 1 - SMALLEST:
        raise UserError(f"probability should lie between {SMALLEST:g} and 1 - {SMALLEST:g}; got {probability}")
    m = sizes_until(generations, sizes)
    centre = expected_log_variance(generations, sizes, estimator, variance)
    scale = std_of_log_variance(generations, sizes)
    standard = [_quantile(m[: g + 1], s, probability) for g, s in zip(generations, scale, strict=True)]
    return centre + scale * standard


class _Integrand(NamedTuple):
    """Hold nodes t, and φ(t)/t of the standardised log variance times the weights of the quadrature."""

    t: Float[np.ndarray, " n"]
    weighted: Complex[np.ndarray, " n"]

    def below(self, y: float) -> float:
        """Return P(Y ≤ y)."""
        return 0.5 - float((np.exp(-1j * self.t * y) * self.weighted).imag.sum()) / np.pi


@cache
def _gauss_legendre() -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    nodes, weights = roots_legendre(NODES)
    return nodes, weights


def _quantile(sizes: Float[np.ndarray, " n"], scale: float, probability: float) -> float:
    distinct, counts = np.unique((sizes - 1) / 2, return_counts=True)

    def log_characteristic(t: Float[np.ndarray, " n"]) -> Complex[np.ndarray, " n"]:
        u = t[:, None] / scale
        terms = loggamma(distinct + 1j * u) - loggamma(distinct) - 1j * u * psi(distinct)
        total: np.ndarray = terms @ counts
        return total

    end = 8.0  # |φ| falls no faster than the normal one, e^{-t²/2}, which is 1e-14 at t = 8
    while log_characteristic(np.array([end])).real[0] > np.log(1e-14):
        end *= 1.25
    nodes, weights = _gauss_legendre()
    t = end * (nodes + 1) / 2
    integrand = _Integrand(t, np.exp(log_characteristic(t)) / t * weights * end / 2)
    from scipy.optimize import brentq  # here because it takes 0.2 s to import

    low = high = float(ndtri(probability))
    while integrand.below(low) > probability:
        low -= 1
    while integrand.below(high) < probability:
        high += 1
    return low if low == high else float(brentq(lambda y: integrand.below(y) - probability, low, high, xtol=1e-12))
