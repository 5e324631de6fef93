"""The chain of density estimates in a reproducing-kernel Hilbert space on [0, 1]: which directions are left.

Each generation is fitted to M_g draws x_i of the density before, p̂_g = 1/M_g Σ_i G(·, x_i). The kernel G has the
eigenfunctions e_k(x) = √2 cos(πkx) and the eigenvalues λ_k = 1/(1 + ρπ²k²). So the coefficient of a direction is
    c_k(g) = ∫ p̂_g e_k = λ_k/M_g Σ_i e_k(x_i),
and E [e_k(x_i) | p̂_{g-1}] = c_k(g - 1), because p̂ is a density. Moments follow from this and from
e_k² = 1 + e_{2k}/√2. The argument `coefficients` (k,) holds ∫ p e_k of the real density for k = 1, …, K; the others
are 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.theory.arguments import SampleSizes, at, last, positive, sizes_until


def eigenvalues(directions: int, ridge: float) -> Float[np.ndarray, " k"]:
    """Return λ_k = 1/(1 + ρπ²k²) for k = 1, …, K: what one fit leaves of direction k in expectation. Exact.

    Args:
        directions: K, above 0.
        ridge: ρ, above 0.

    Returns:
        Numbers in (0, 1), falling, (k,).

    Raises:
        UserError: The number of directions or the ridge is not above 0.
    """
    positive("directions", directions)
    positive("ridge", ridge)
    falling: np.ndarray = 1 / (1 + ridge * (np.pi * np.arange(1, directions + 1)) ** 2)
    return falling


def expected_coefficients(
    generations: Int[np.ndarray, " g"], ridge: float, coefficients: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "g k"]:
    """Return E c_k(g) = λ_k^{g+1} ∫ p e_k, whatever the sizes of the training sets are. Exact.

    The ratio of two directions j < k goes to 0 as (λ_k/λ_j)^g: the chain collapses onto its top directions.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        ridge: ρ, above 0.
        coefficients: ∫ p e_k of the real density, (k,).

    Returns:
        Numbers, (g, k).

    Raises:
        UserError: A generation is negative, there is no coefficient, or the ridge is not above 0.

    Source: the statement is that of the supplement of arXiv:2305.17493; the formula is derived here.
    """
    last(generations)
    kept: np.ndarray = eigenvalues(len(coefficients), ridge) ** (generations[:, None] + 1) * coefficients
    return kept


def expected_squares(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, ridge: float, coefficients: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "g k"]:
    """Return E c_k(g)² = λ_k² [(1 - 1/M_g) E c_k(g-1)² + (1 + E c_{2k}(g-1)/√2)/M_g]. Exact.

    Generation -1 is the real density. The second term is the noise of M_g draws, which a direction keeps for about
    1/(ρπ²k²) generations; so the noise of a chain lies in its top directions too.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the rows that each generation is fitted to, ≥ 1.
        ridge: ρ, above 0.
        coefficients: ∫ p e_k of the real density, (k,).

    Returns:
        Numbers of 0 or more, (g, k).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, there is no
            coefficient, or the ridge is not above 0.

    Source: derived here.
    """
    m, count = sizes_until(generations, sizes, least=1), len(coefficients)
    shrink = eigenvalues(count, ridge)
    # Because the coefficients beyond K are 0 in the real density, their expectations stay 0
    means = np.concatenate([coefficients[None], expected_coefficients(np.arange(len(m)), ridge, coefficients)])
    doubled = np.zeros_like(means)
    doubled[:, : count // 2] = means[:, 1::2]
    squares = [coefficients**2]
    for size, double in zip(m, doubled, strict=False):
        squares.append(shrink**2 * ((1 - 1 / size) * squares[-1] + (1 + double / np.sqrt(2)) / size))
    return at(generations, np.array(squares[1:]))
