"""Schedules of sample sizes that stop collapse: whether they do depends on Σ 1/M_i.

A one-dimensional Gaussian chain keeps a positive variance for ever, almost surely, if and only if Σ 1/M_i is finite,
with either estimator; otherwise its variance goes to 0 almost surely. Proof: variance_g / E variance_g is a product of
independent positive factors X_i of mean 1, so by Kakutani's theorem its limit is positive iff Σ (1 - E√X_i) is
finite, and 1 - E√X_i = 1/(4 M_i) + O(M_i⁻²); under maximum likelihood E variance_g = σ² Π(1 - 1/M_i) is positive in
the limit under the same condition. The mean then converges, and the Wasserstein risk stays bounded.

Shumailov et al. say that the sizes must grow superlinearly. For sizes that never fall that is necessary (Olivier's
theorem: i/M_i goes to 0), but not sufficient: M_i = i log i is superlinear and Σ 1/(i log i) diverges. Any power
M_i = M_0 (i + 1)^(1 + ε) suffices.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.special import zeta

from collapse_lab.theory.arguments import SampleSizes, at, last, positive, sizes_until


def inverse_sum(generations: Int[np.ndarray, " g"], sizes: SampleSizes) -> Float[np.ndarray, " g"]:
    """Return 1/M_0 + … + 1/M_g, the clock of every chain: a chain has hardly collapsed while it is small. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 1.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below 1, or the schedule of sizes is too short.

    Source: Shumailov et al., Nature 631 (2024), arXiv:2305.17493, of the one-dimensional Gaussian.
    """
    return at(generations, np.cumsum(1 / sizes_until(generations, sizes, least=1)))


def power_schedule(generations: Int[np.ndarray, " g"], first: int, exponent: float) -> Int[np.ndarray, " g"]:
    """Return M_g = ⌈M_0 (g + 1)^exponent⌉.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        first: M_0, above 0.
        exponent: 0 keeps the size, 1 grows it linearly, and an exponent above 1 stops collapse.

    Returns:
        Sizes ≥ 1, (g,).

    Raises:
        UserError: M_0 is not above 0, or a generation is negative.
    """
    positive("first", first)
    last(generations)
    # A whole power that comes out as 800.0000000001 must not be rounded up
    grown: np.ndarray = np.ceil(np.round(first * (generations + 1.0) ** exponent, 9)).astype(np.int64)
    return grown


def inverse_sum_limit(first: int, exponent: float) -> float:
    """Return ζ(exponent)/M_0, the limit of `inverse_sum` under M_i = M_0 (i + 1)^exponent. Exact before rounding up.

    `power_schedule` rounds sizes up, so this is an upper bound for it.

    Args:
        first: M_0, above 0.
        exponent: The power by which sizes grow.

    Returns:
        A number above 0; inf for exponents up to 1.

    Raises:
        UserError: M_0 is not above 0.

    Source: derived here, from the condition of arXiv:2305.17493.
    """
    positive("first", first)
    return float(zeta(exponent)) / first if exponent > 1 else math.inf
