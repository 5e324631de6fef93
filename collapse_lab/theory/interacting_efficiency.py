"""How well interacting linear models do beside one estimator that holds all real data.

With real sources s of truths θ_s, n_s rows and Gram matrices S_s, π_s = n_s/N and H = Σ π_s S_s. The risk of an
estimator θ̂ is its test error at the inputs of all real rows, Σ_s π_s E (θ̂ - θ_s)ᵀS_s(θ̂ - θ_s). It is least for θ° =
H⁺ Σ π_s S_s θ_s, where it is D, the price of one θ for unlike truths. As θ° minimises a quadratic, the risk of any θ̂ of
mean m and covariance Σ is D + (m - θ°)ᵀH(m - θ°) + tr(HΣ): the excess is a mean squared error in the norm of H.

The ideal estimator is least squares on all real rows, H⁺ Σ π_s X_sᵀy_s/n_s. Its mean is θ° (up to the null space of H)
and its covariance σ² (N H)⁺, so its excess is σ² rank(H)/N. The relative efficiency of model k is that number divided
by the excess of θ_k. By the theorem of Gauss and Markov it is at most 1 for every θ_k that is unbiased for a common
truth; a biased one may be above 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from collapse_lab.errors import UserError
from collapse_lab.theory.interacting import (
    Designs,
    Draw,
    Moments,
    at_generation,
    limits,
    paper_shares,
    system,
)


def pooled_gram(designs: Designs) -> Float[np.ndarray, "d d"]:
    """Return H = Σ π_s S_s over the K private sources and the public one."""
    return designs.pooled


def ideal_excess(designs: Designs, noise: float = 1.0) -> float:
    """Return σ² rank(H)/N, the excess risk of least squares on all real rows."""
    total = float(designs.private_rows.sum()) + designs.public_rows
    return noise * int(np.linalg.matrix_rank(pooled_gram(designs), hermitian=True)) / total


def best_common(designs: Designs, truths: Float[np.ndarray, "k1 d"]) -> Float[np.ndarray, " d"]:
    """Return θ° = H⁺ Σ π_s S_s θ_s, the coefficients of the least risk.

    Args:
        designs: The Gram matrices.
        truths: θ_s of the K private sources, then of the public one, (K + 1, d).
    """
    rows = np.append(designs.private_rows, designs.public_rows)
    grams = np.concatenate([designs.private, designs.public[None]])
    right = np.einsum("s,sab,sb->a", rows / rows.sum(), grams, truths)
    best: np.ndarray = designs.pooled_inverse @ right
    return best


def excess_risks(designs: Designs, known: Moments, truths: Float[np.ndarray, "k1 d"]) -> Float[np.ndarray, "g k"]:
    """Return (m - θ°)ᵀH(m - θ°) + tr(HΣ) of every generation and model, (G + 1, K).

    Args:
        designs: The Gram matrices.
        known: The moments of the generations.
        truths: θ_s, (K + 1, d).
    """
    k, d = designs.models, designs.dimension
    h = pooled_gram(designs)
    apart = (known.maps @ np.asarray(truths, float).reshape(-1)).reshape(-1, k, d) - best_common(designs, truths)
    covariance = known.covariance.reshape(-1, k, d, k, d)
    own = covariance[:, np.arange(k), :, np.arange(k)]  # (K, G + 1, d, d), as NumPy orders them
    risks: np.ndarray = np.einsum("gka,ab,gkb->gk", apart, h, apart) + np.einsum("ab,kgba->gk", h, own)
    return risks


def relative_efficiency(
    designs: Designs,
    alpha: float,
    beta: float,
    truths: Float[np.ndarray, "k1 d"],
    noise: float = 1.0,
    generation: int | None = None,
    draw: Draw = "shared",
    exposure: Sequence[Sequence[float]] | None = None,
    regenerated: float | None = None,
) -> Float[np.ndarray, " k"]:
    """Return the excess risk of the ideal estimator divided by that of each model, (K,).

    Args:
        designs: The Gram matrices.
        alpha: α, the synthetic share.
        beta: β, the private share of the real rows.
        truths: θ_s of the K private sources, then of the public one, (K + 1, d).
        noise: σ² of real labels, above 0.
        generation: The generation; None means the limit, where there is one and 0 where there is none.
        draw: Whether all models train on the same generated rows.
        exposure: e, (K, K), whose row k says how much model k learns from each; None means 1/K everywhere.
        regenerated: σ² of the labels that models make; None means `noise`.
    """
    shares = paper_shares(alpha, beta, designs.models, exposure)
    if generation is None:
        if system(designs, shares).radius >= 1 - 1e-9:
            return np.zeros(designs.models)
        known = limits(designs, shares, noise, regenerated, draw)
    else:
        first = paper_shares(0.0, beta, designs.models)
        known = at_generation(designs, first, shares, generation, noise, regenerated, draw)
    efficiency: np.ndarray = ideal_excess(designs, noise) / excess_risks(designs, known, truths)[-1]
    return efficiency


def efficiency_map(
    designs: Designs,
    alphas: Float[np.ndarray, " a"],
    betas: Float[np.ndarray, " b"],
    truths: Float[np.ndarray, "k1 d"],
    noise: float = 1.0,
    generation: int | None = None,
    draw: Draw = "shared",
    exposure: Sequence[Sequence[float]] | None = None,
    regenerated: float | None = None,
) -> Float[np.ndarray, "a b"]:
    """Return the relative efficiency of the population over a grid: the ideal excess by the mean one of the models.

    Args:
        designs: The Gram matrices.
        alphas: Synthetic shares, the rows of the map.
        betas: Private shares of real rows, its columns.
        truths: θ_s, (K + 1, d).
        noise: σ² of real labels, above 0.
        generation: The generation; None means the limit.
        draw: Whether all models train on the same generated rows.
        exposure: e, (K, K), whose row k says how much model k learns from each; None means 1/K everywhere.
        regenerated: σ² of the labels that models make; None means `noise`.

    Raises:
        UserError: A share is outside [0, 1].
    """
    if not len(alphas) or not len(betas):
        raise UserError("a map of efficiencies takes one alpha and one beta or more")
    rest = (truths, noise, generation, draw, exposure, regenerated)
    return np.array([[harmonic(relative_efficiency(designs, a, b, *rest)) for b in betas] for a in alphas])


def harmonic(efficiencies: Float[np.ndarray, " k"]) -> float:
    """Return the efficiency of a population: the ideal excess by the mean one of its models; 0 if one of them is 0."""
    values = np.asarray(efficiencies, float)
    return float(1 / np.mean(1 / values)) if (values > 0).all() else 0.0


def low_rank_designs(models: int, rank: int, rows: int, public_rows: int, seed: int = 0) -> Designs:
    """Return private sets that see one subspace each, and a public set that sees all d = K r dimensions.

    The private inputs of model k span r dimensions of their own, in a random basis; model k makes labels for them.
    A row of any set has squares of expectation d in all, so that no set is louder than another.

    Args:
        models: K.
        rank: r, the rank of each private Gram matrix.
        rows: ñ, the rows of each private set and of each generated one.
        public_rows: n_*, the rows of the public set.
        seed: The seed of the basis and of the inputs.
    """
    rng = np.random.default_rng(seed)
    d = models * rank
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0].reshape(models, rank, d)
    private = [np.sqrt(models) * rng.standard_normal((rows, rank)) @ part for part in basis]
    return Designs.of_rows(private, rng.standard_normal((public_rows, d)))
