"""Linear models that learn from their own real data, from public data, and from what all of them generate.

Model k of K is a least-squares fit with weights: source s of K + 2 (its private rows, the public rows, the rows of each
model) counts with a share w_s, whatever its number of rows. With S = XᵀX/n of a source the normal equations are
    A_k θ_k = p_k S̃_k y⁺ + q_k S_* y⁺ + Σ_j g_kj S_j (θ_j + X_j⁺ noise),   A_k = p_k S̃_k + q_k S_* + Σ_j g_kj S_j,
because labels are y = X θ_j + noise at the rows X_j of model j, and XᵀX X⁺ = Xᵀ. Their solution of least norm is
    θ_t = P v + Q (θ_{t-1} + ε),   Q_kj = g_kj A_k⁺ S_j,   P_k = [p_k A_k⁺ S̃_k at k | q_k A_k⁺ S_*],
where v stacks the K private and the public least-squares fits, of covariance V = σ² blockdiag((X̃_kᵀX̃_k)⁺, (X_*ᵀX_*)⁺),
and ε_j = X_j⁺ noise has the covariance R_j = σ² (X_jᵀX_j)⁺. Generation 0 has shares of real rows alone: θ_0 = P₀ v.

Given v, the mean is m_t = P v + Q m_{t-1}: so θ_t = M_t v + noise with M_t = P + Q M_{t-1}, which is
Σ_{s<t} QˢP + QᵗP₀ if the shares do not change. Noise of generations is independent of v and of earlier noise. If all
models train on the same rows (a `shared` draw), ε is common to them, and C_t = Q (C_{t-1} + R) Qᵀ. If every model
trains on rows of its own, Σ_j Q_kj ε_kj of two models are independent, and only the blocks on the diagonal of Q R Qᵀ
remain: C_t = Q C_{t-1} Qᵀ + blockdiag_k(Σ_j Q_kj R_j Q_kjᵀ). Over real data too the covariance is M_t V M_tᵀ + C_t.

What holds always: Σ_j Q_kj + Σ P_k = A_k⁺A_k; the nonzero eigenvalues of Q with g_kj = α/K are those of
(α/K) Σ_j S_j A_j⁺, because Q = (α/K) [A_k⁺]_k [S_j]_j and XY has the nonzero eigenvalues of YX.
What holds if ρ(Q) < 1: m_t and C_t converge. ρ(Q) < 1 is a condition. It holds if all S_j are one S and the real part
of every A_k is positive definite: A_k > αS, so (α/K) Σ S^½ A_j⁻¹ S^½ < I, and that matrix is symmetric. It may fail
otherwise: K = 2, α = β = ½, S_* = I and the other Grams v vᵀ + 0.01 I of v = (0, 3), (2, 2) (generated), (5, 2),
(2, -6) (private) have ρ = 1.0503. It fails with equal Grams too, in a direction that generated rows alone see: there
A_k = α S, so ρ = 1, and the direction has no anchor.
Where A_k is singular: A_k⁺A_k is a projection, so a truth θ that all sources share is no fixed point beyond its range.
The fit of least norm forgets what a warm start would keep: a fit by gradients that starts from θ_{t-1} ends at
A_k⁺ b + (I - A_k⁺A_k) θ_{t-1}, which is another system. M_t V M_tᵀ stays right, as S̃_k X̃_k⁺X̃_k = S̃_k.

Source: arXiv:2505.21677, the linear model; all of it is derived here. The paper has the shared draw and ρ(Q) < 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from collapse_lab.errors import UserError

Draw = Literal["shared", "own"]

CUTOFF = 1e-10  # an eigenvalue below this share of the largest one is rounding


@dataclass(frozen=True, eq=False)
class Designs:
    """Hold the Gram matrices S = XᵀX/n of all sources, and their numbers n of rows.

    Args:
        private: S̃_k, (K, d, d).
        public: S_*, (d, d).
        generated: S_j of the rows for which model j makes labels, (K, d, d).
        private_rows: ñ_k, (K,).
        public_rows: n_*.
        generated_rows: n_j, (K,).
    """

    private: Float[np.ndarray, "k d d"]
    public: Float[np.ndarray, "d d"]
    generated: Float[np.ndarray, "k d d"]
    private_rows: Float[np.ndarray, " k"]
    public_rows: float
    generated_rows: Float[np.ndarray, " k"]

    @property
    def models(self) -> int:
        """Return K."""
        return len(self.private)

    @property
    def dimension(self) -> int:
        """Return d."""
        return len(self.public)

    # Because a map over many shares asks for these again and again, they are computed once
    @cached_property
    def real_inverses(self) -> Float[np.ndarray, "k1d k1d"]:
        """Return blockdiag((X̃_kᵀX̃_k)⁺, (X_*ᵀX_*)⁺)."""
        rows = np.append(self.private_rows, self.public_rows)
        return _blocks(_inverses(np.concatenate([self.private, self.public[None]]), rows))

    @cached_property
    def generated_inverses(self) -> Float[np.ndarray, "kd kd"]:
        """Return blockdiag((X_jᵀX_j)⁺)."""
        return _blocks(_inverses(self.generated, self.generated_rows))

    @cached_property
    def pooled(self) -> Float[np.ndarray, "d d"]:
        """Return H = Σ π_s S_s over the K private sources and the public one, of shares π_s of all real rows."""
        rows = np.append(self.private_rows, self.public_rows)
        grams = np.concatenate([self.private, self.public[None]])
        pooled: np.ndarray = np.einsum("s,sab->ab", rows / rows.sum(), grams)
        return pooled

    @cached_property
    def pooled_inverse(self) -> Float[np.ndarray, "d d"]:
        """Return H⁺."""
        inverse: np.ndarray = np.linalg.pinv(self.pooled, rcond=CUTOFF, hermitian=True)
        return inverse

    @classmethod
    def of_rows(
        cls, private: Sequence[np.ndarray], public: np.ndarray, generated: Sequence[np.ndarray] | None = None
    ) -> Designs:
        """Return the designs of inputs, (n, d) each.

        Args:
            private: The inputs of each model's private rows.
            public: The inputs of the public rows.
            generated: The inputs for which each model makes labels; None means its private ones.
        """
        made = private if generated is None else generated
        grams = [np.stack([x.T @ x / len(x) for x in part]) for part in (private, [public], made)]
        rows = [np.array([float(len(x)) for x in part]) for part in (private, made)]
        return cls(grams[0], grams[1][0], grams[2], rows[0], float(len(public)), rows[1])


class System(NamedTuple):
    """Hold one update θ → P v + Q (θ + ε).

    Attributes:
        grams: A_k, (K, d, d).
        real: P, (K d, (K + 1) d).
        models: Q, (K d, K d).
    """

    grams: Float[np.ndarray, "k d d"]
    real: Float[np.ndarray, "kd k1d"]
    models: Float[np.ndarray, "kd kd"]

    @property
    def radius(self) -> float:
        """Return ρ(Q), the largest modulus of an eigenvalue of Q."""
        return float(np.abs(np.linalg.eigvals(self.models)).max())


class Moments(NamedTuple):
    """Hold what the models of generations 0, …, G are, given the least-squares fits v of the real data.

    Attributes:
        maps: M_t with mean_t = M_t v, (G + 1, K d, (K + 1) d).
        noise: C_t, the covariance of the noise of generations, (G + 1, K d, K d).
        covariance: M_t V M_tᵀ + C_t, over real data too, (G + 1, K d, K d).
    """

    maps: Float[np.ndarray, "g kd k1d"]
    noise: Float[np.ndarray, "g kd kd"]
    covariance: Float[np.ndarray, "g kd kd"]


def paper_shares(
    alpha: float, beta: float, models: int, exposure: Sequence[Sequence[float]] | None = None
) -> Float[np.ndarray, "k k2"]:
    """Return the rows (ᾱβ, ᾱβ̄, α e_k1, …, α e_kK) of shares of an update, ᾱ = 1 - α and β̄ = 1 - β.

    Args:
        alpha: α, the synthetic share, in [0, 1]; 0 gives the shares of generation 0.
        beta: β, the private share of the real rows, in [0, 1].
        models: K.
        exposure: e, (K, K), of rows that sum to 1; None means 1/K everywhere.

    Raises:
        UserError: A share is outside [0, 1].
    """
    if not (0 <= alpha <= 1 and 0 <= beta <= 1):
        raise UserError(f"alpha and beta are shares in [0, 1]; got alpha={alpha} and beta={beta}")
    weights = np.full((models, models), 1 / models) if exposure is None else np.asarray(exposure, float)
    real = np.tile([(1 - alpha) * beta, (1 - alpha) * (1 - beta)], (models, 1))
    return np.concatenate([real, alpha * weights], 1)


def system(designs: Designs, shares: Float[np.ndarray, "k k2"]) -> System:
    """Return A, P and Q of an update; the module derives them.

    Args:
        designs: The Gram matrices.
        shares: Row k holds the shares of model k: private, public, then one for each model; (K, K + 2). A row may
            have any positive sum, because weighted least squares does not see its scale.

    Raises:
        UserError: The shares have another shape, one is negative, or a row is empty.
    """
    k, d = designs.models, designs.dimension
    w = np.asarray(shares, float)
    if w.shape != (k, k + 2) or not (w >= 0).all() or not (w.sum(1) > 0).all():
        raise UserError(
            f"each of the {k} models has a row of {k + 2} shares of 0 or more, of which one is positive; got "
            f"{w.tolist()}"
        )
    grams = (
        w[:, 0, None, None] * designs.private
        + w[:, 1, None, None] * designs.public
        + np.einsum("kj,jab->kab", w[:, 2:], designs.generated)
    )
    inverses = np.linalg.pinv(grams, rcond=CUTOFF, hermitian=True)
    models = np.einsum("kj,kab,jbc->kajc", w[:, 2:], inverses, designs.generated)
    real = np.zeros((k, d, k + 1, d))
    for number in range(k):
        real[number, :, number] = w[number, 0] * inverses[number] @ designs.private[number]
    real[:, :, k] = w[:, 1, None, None] * inverses @ designs.public
    return System(grams, real.reshape(k * d, (k + 1) * d), models.reshape(k * d, k * d))


def noise_of_real(designs: Designs, noise: float) -> Float[np.ndarray, "k1d k1d"]:
    """Return V = σ² blockdiag((X̃_kᵀX̃_k)⁺, (X_*ᵀX_*)⁺), the covariance of the least-squares fits of real rows."""
    return noise * designs.real_inverses


def noise_of_generated(designs: Designs, noise: float) -> Float[np.ndarray, "kd kd"]:
    """Return R = σ² blockdiag((X_jᵀX_j)⁺), the covariance of X_j⁺ noise of generated labels."""
    return noise * designs.generated_inverses


def update_noise(
    models: Float[np.ndarray, "kd kd"], generated: Float[np.ndarray, "kd kd"], size: int, draw: Draw
) -> Float[np.ndarray, "kd kd"]:
    """Return what one update adds: Q R Qᵀ of a shared draw, and its diagonal blocks if each model has rows of its own.

    Args:
        models: Q.
        generated: R.
        size: d, the size of a block.
        draw: Whether all models train on the same generated rows.
    """
    added: np.ndarray = models @ generated @ models.T
    if draw == "shared":
        return added
    block = np.arange(len(added)) // size
    return np.where(block[:, None] == block, added, 0.0)


def moments(
    designs: Designs,
    shares: Sequence[Float[np.ndarray, "k k2"]],
    noise: float = 1.0,
    regenerated: float | None = None,
    draw: Draw = "shared",
) -> Moments:
    """Return M_t, C_t and the covariance of generations 0, …, G. Exact for any noise of these variances.

    Args:
        designs: The Gram matrices, the same in every generation.
        shares: The shares of each generation, G + 1 arrays (K, K + 2); those of generation 0 have no generated rows.
        noise: σ² of real labels, ≥ 0.
        regenerated: σ² of the labels that models make; None means `noise`.
        draw: Whether all models train on the same generated rows, or each on rows of its own.

    Raises:
        UserError: Generation 0 has a share of generated rows, or what `system` raises.
    """
    v = noise_of_real(designs, noise)
    r = noise_of_generated(designs, noise if regenerated is None else regenerated)
    first = _first(designs, shares[0])
    maps, noises = [first.real], [np.zeros_like(r)]
    before, update, added = None, first, r
    for row in shares[1:]:
        if before is None or not np.array_equal(before, row):  # because most runs have one row for all generations
            before, update = row, system(designs, row)
            added = update_noise(update.models, r, designs.dimension, draw)
        q = update.models
        maps.append(update.real + q @ maps[-1])
        noises.append(q @ noises[-1] @ q.T + added)
    m, c = np.stack(maps), np.stack(noises)
    return Moments(m, c, m @ v @ m.swapaxes(1, 2) + c)


def at_generation(
    designs: Designs,
    first: Float[np.ndarray, "k k2"],
    later: Float[np.ndarray, "k k2"],
    generation: int,
    noise: float = 1.0,
    regenerated: float | None = None,
    draw: Draw = "shared",
) -> Moments:
    """Return M_t, C_t and the covariance of one generation under constant shares, as arrays of one generation.

    They are those of `moments`, in log₂ t steps: n updates are M → Q_n M + P_n and C → Q_n C Q_nᵀ + C_n, and of n and m
    updates follow those of n + m.

    Args:
        designs: The Gram matrices.
        first: The shares of generation 0, (K, K + 2), of real rows alone.
        later: The shares of every later generation.
        generation: t, 0 or more.
        noise: σ² of real labels, ≥ 0.
        regenerated: σ² of the labels that models make; None means `noise`.
        draw: Whether all models train on the same generated rows, or each on rows of its own.

    Raises:
        UserError: What `moments` raises.
    """
    r = noise_of_generated(designs, noise if regenerated is None else regenerated)
    maps, noises = _first(designs, first).real, np.zeros_like(r)
    _, p, q = system(designs, later)
    c, left = update_noise(q, r, designs.dimension, draw), generation
    while left:
        if left % 2:
            maps, noises = q @ maps + p, q @ noises @ q.T + c
        left //= 2
        if left:
            q, p, c = q @ q, q @ p + p, q @ c @ q.T + c
    covariance = maps @ noise_of_real(designs, noise) @ maps.T + noises
    return Moments(maps[None], noises[None], covariance[None])


def limits(
    designs: Designs,
    shares: Float[np.ndarray, "k k2"],
    noise: float = 1.0,
    regenerated: float | None = None,
    draw: Draw = "shared",
) -> Moments:
    """Return the limits of M_t, C_t and the covariance under constant shares, as arrays of one generation.

    M = (I - Q)⁻¹ P, and C = Q C Qᵀ + the noise of one update, summed by doubling: Σ_{i<2n} = Σ_{i<n} + Qⁿ Σ_{i<n} Qⁿᵀ.

    Args:
        designs: The Gram matrices.
        shares: The shares of every generation after 0, (K, K + 2).
        noise: σ² of real labels, ≥ 0.
        regenerated: σ² of the labels that models make; None means `noise`.
        draw: Whether all models train on the same generated rows, or each on rows of its own.

    Raises:
        UserError: ρ(Q) is 1 or more, so that there is no limit.
    """
    update = system(designs, shares)
    if update.radius >= 1 - 1e-9:
        raise UserError(
            f"there is no limit, because the spectral radius is {update.radius:.6g}; it has to be below 1, and a lower "
            "alpha lowers it where all generated designs are alike"
        )
    q = update.models
    maps = np.linalg.solve(np.eye(len(q)) - q, update.real)
    r = noise_of_generated(designs, noise if regenerated is None else regenerated)
    total, power = update_noise(q, r, designs.dimension, draw), q
    while np.abs(power).max() > 1e-17:
        total, power = total + power @ total @ power.T, power @ power
    covariance = maps @ noise_of_real(designs, noise) @ maps.T + total
    return Moments(maps[None], total[None], covariance[None])


def _first(designs: Designs, shares: np.ndarray) -> System:
    """Return the system of generation 0.

    Raises:
        UserError: A share of generated rows is above 0.
    """
    if np.any(np.asarray(shares)[:, 2:] != 0):
        raise UserError(f"generation 0 trains on real rows alone; got the shares {np.asarray(shares).tolist()}")
    return system(designs, shares)


def _inverses(grams: np.ndarray, rows: np.ndarray) -> np.ndarray:
    inverses: np.ndarray = np.linalg.pinv(grams * rows[:, None, None], rcond=CUTOFF, hermitian=True)
    return inverses


def _blocks(matrices: np.ndarray) -> np.ndarray:
    k, d, _ = matrices.shape
    whole = np.zeros((k, d, k, d))
    whole[np.arange(k), :, np.arange(k)] = matrices
    return whole.reshape(k * d, k * d)
