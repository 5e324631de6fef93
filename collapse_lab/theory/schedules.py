"""Sample-size schedules that stop collapse: Σ 1/M_i decides.

A one-dimensional Gaussian chain keeps a positive variance for ever, almost surely, iff Σ 1/M_i is finite, with
either estimator; else its variance goes to 0 almost surely. Proof: variance_g / E variance_g is a product of
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
    """1/M_0 + … + 1/M_g, the clock of every chain: its collapse is slow while this is small. Exact.

    Raises: UserError as `sizes_until`.
    Source: Shumailov et al., Nature 631 (2024), arXiv:2305.17493, of the one-dimensional Gaussian.
    """
    return at(generations, np.cumsum(1 / sizes_until(generations, sizes, least=1)))


def power_schedule(generations: Int[np.ndarray, " g"], first: int, exponent: float) -> Int[np.ndarray, " g"]:
    """M_g = ⌈M_0 (g + 1)^exponent⌉: 0 keeps the size, 1 grows it linearly, above 1 stops collapse.

    Raises: UserError: M_0 is not above 0, or a generation is negative.
    """
    positive("first", first)
    last(generations)
    # A whole power that comes out as 800.0000000001 must not be rounded up
    grown: np.ndarray = np.ceil(np.round(first * (generations + 1.0) ** exponent, 9)).astype(np.int64)
    return grown


def inverse_sum_limit(first: int, exponent: float) -> float:
    """ζ(exponent)/M_0, the limit of `inverse_sum` under M_i = M_0 (i + 1)^exponent. Exact before rounding up.

    Range: inf for exponents up to 1; `power_schedule` rounds sizes up, so that this is an upper bound for it.
    Raises: UserError: M_0 is not above 0.
    Source: derived here, from the condition of arXiv:2305.17493.
    """
    positive("first", first)
    return float(zeta(exponent)) / first if exponent > 1 else math.inf
