"""The discrete chain: each generation is the histogram of M_g draws of the generation before.

It is the Wright-Fisher model of genetic drift with M genes. The count of one category is a Markov chain of its own:
given a count c of M_{g-1}, the next one is binomial with M_g draws and probability c/M_{g-1}. Its only absorbing
states are 0 and M, so every chain ends on a single category.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import SampleSizes, at, sizes_until


def loss_probability(probabilities: Float[np.ndarray, " k"], size: int) -> Float[np.ndarray, " k"]:
    """Return (1 - p_k)^M, the probability that one fit of M draws loses category k. Exact.

    Args:
        probabilities: p_k of the real distribution, (k,), each in [0, 1].
        size: M, the number of draws, ≥ 1.

    Returns:
        Probabilities in [0, 1], (k,).

    Raises:
        UserError: A probability is outside [0, 1], or the size is below 1.

    Source: arXiv:2305.17493, of discrete distributions with exact approximation; derived here.
    """
    if not len(probabilities) or not (0 <= probabilities.min() <= probabilities.max() <= 1):
        raise UserError(f"probabilities should lie between 0 and 1; got {probabilities.tolist()}")
    lost: np.ndarray = (1 - probabilities) ** sizes_until(np.zeros(1, np.int64), size, least=1)
    return lost


def expected_heterozygosity(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, probabilities: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " g"]:
    """Return E [1 - Σ_k p_k²] = (1 - Σ_k p_k(0)²) Π_{i≤g} (1 - 1/M_i), the chance that two draws differ.

    Both draws are of generation g. Exact.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the draws that each generation is fitted to, ≥ 1.
        probabilities: p_k(0) of the real distribution, (k,), which sum to 1.

    Returns:
        Probabilities in [0, 1), (g,).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the probabilities
            do not sum to 1.

    Source: derived here; in genetics S. Wright, Genetics 16 (1931).
    """
    first = 1 - float((_distribution(probabilities) ** 2).sum())
    return at(generations, first * np.cumprod(1 - 1 / sizes_until(generations, sizes, least=1)))


def survival_probability(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, probabilities: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "g k"]:
    """Return P(p_k(g) > 0), the probability that category k is still there in generation g.

    Exact, by powers of the transition matrix. Its limit is that of `fixation_probability`. Memory: O(M²).

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the draws that each generation is fitted to, ≥ 1.
        probabilities: p_k(0) of the real distribution, (k,), which sum to 1.

    Returns:
        Probabilities in [0, 1], (g, k).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the probabilities
            do not sum to 1.

    Source: derived here.
    """
    return 1 - _count_distributions(generations, sizes, probabilities)[0]


def fixation_probability(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, probabilities: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "g k"]:
    """Return P(p_k(g) = 1), the probability that generation g has lost all categories except k.

    Exact. It rises to its limit, p_k of the real distribution: p_k is a bounded martingale that ends at 0 or 1, so it
    ends at 1 with probability p_k(0). Memory: O(M²).

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the draws that each generation is fitted to, ≥ 1.
        probabilities: p_k(0) of the real distribution, (k,), which sum to 1.

    Returns:
        Probabilities in [0, 1], (g, k).

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the probabilities
            do not sum to 1.

    Source: derived here; the limit is that of arXiv:2305.17493.
    """
    return _count_distributions(generations, sizes, probabilities)[1]


def expected_support(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, probabilities: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " g"]:
    """Return E #{k: p_k(g) > 0} = Σ_k P(p_k(g) > 0), the expected number of categories that are left in generation g.

    Exact. Memory: O(M²).

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        sizes: M_g, the draws that each generation is fitted to, ≥ 1.
        probabilities: p_k(0) of the real distribution, (k,), which sum to 1.

    Returns:
        Numbers in [1, K], (g,), where K is the number of categories.

    Raises:
        UserError: A generation is negative, a size is below 1, the schedule of sizes is too short, or the probabilities
            do not sum to 1.

    Source: derived here.
    """
    total: np.ndarray = survival_probability(generations, sizes, probabilities).sum(1)
    return total


def _count_distributions(
    generations: Int[np.ndarray, " g"], sizes: SampleSizes, probabilities: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "g k"], Float[np.ndarray, "g k"]]:
    """Return the probabilities that a category's count is 0, and that it is M, (g, k) each."""
    from scipy.stats import binom  # here because it takes 0.4 s to import

    distinct, index = np.unique(_distribution(probabilities), return_inverse=True)
    schedule = sizes_until(generations, sizes, least=1).astype(np.int64)
    counts = binom.pmf(np.arange(schedule[0] + 1), schedule[0], distinct[:, None])
    lost, fixed = [counts[:, 0]], [counts[:, -1]]
    step, last = np.zeros((0, 0)), (0, 0)
    for before, size in pairwise(schedule):
        if (before, size) != last:
            shares = np.arange(before + 1)[:, None] / before
            step, last = binom.pmf(np.arange(size + 1), size, shares), (before, size)
        counts = counts @ step
        lost.append(counts[:, 0])
        fixed.append(counts[:, -1])
    return at(generations, np.array(lost)[:, index]), at(generations, np.array(fixed)[:, index])


def _distribution(probabilities: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    if not len(probabilities) or probabilities.min() < 0 or abs(probabilities.sum() - 1) > 1e-6:
        raise UserError(
            "probabilities should be 0 or more and sum to 1; "
            f"got {len(probabilities)} that sum to {probabilities.sum():g}"
        )
    return probabilities
