"""The Gaussian chain on a blend: fresh synthetic rows, rows of the training set before, and original real rows.

Training set g holds K_g real and S_g synthetic rows, n_g = K_g + S_g. Set 0 is the N original real rows. Set g + 1
holds a new draws of model g, k of the real and b of the synthetic rows of set g, and c originals that are not among
the k: the process p_{g+1} = α p_θ + β p_g + γ p_0 of arXiv:2305.17493 for data that are kept. All draws are even and
look at no value. So second moments follow linear recursions, exact for any real distribution of finite variance σ²
that is refitted by its mean and variance, and in d dimensions for the covariance in every direction. About the real
mean let
    Q = E x² of a synthetic row of set g,
    P = E x x' of two of its synthetic rows,
    R = E x x' of a synthetic and a real one of its rows,
    A = E μ_g² = (K σ² + S Q + S (S - 1) P + 2 K S R)/n²,
    E σ_g² = (K σ² + S Q)/n - A under ML, times n/(n - 1) if unbiased,
    X = (Q + (S - 1) P + K R)/n, which is E x μ_g for a synthetic row of set g.
With S' = a + b the next set has Q' = (a (A + E σ_g²) + b Q)/S' and
P' = (a (a - 1) A + 2 a b X + b (b - 1) P)/(S' (S' - 1)). R needs the state of one original row: see `_Reuse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import Estimator, GaussianMoments, at, divisor, last, positive


class Blended(NamedTuple):
    """Hold the numbers of rows of one training set.

    Attributes:
        latest: a, draws of the model before.
        kept_real: k, real rows of the set before.
        kept_synthetic: b, synthetic rows of the set before.
        drawn: c, original real rows beside those that are kept.
    """

    latest: int
    kept_real: int
    kept_synthetic: int
    drawn: int


def blend_moments(
    generations: Int[np.ndarray, " g"],
    originals: int,
    sets: Sequence[tuple[int, int, int, int]],
    estimator: Estimator,
    variance: float = 1.0,
) -> GaussianMoments:
    """Return E σ_g² and E (μ_g - μ)² of chains that are fitted to blends of rows. Exact; the module has the recursion.

    With a = n it is `replace`, with a and c `contaminate`, and with c = N `augment`.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        originals: N, the real rows that generation 0 is fitted to, ≥ 2.
        sets: The numbers of rows (a, k, b, c) of the training sets 1, 2, …, each of 2 rows or more.
        estimator: What the variance is divided by: "unbiased" (n - 1) or "ml" (n).
        variance: σ² of the real distribution, above 0.

    Returns:
        Variance and squared error of the mean of each generation, (g,) each.

    Raises:
        UserError: A generation is negative or beyond the sets, a set has fewer than 2 rows or more kept or original
            rows than there are, or the variance is not above 0.

    Source: arXiv:2305.17493 for the process; the recursion is derived here.
    """
    positive("variance", variance)
    count = last(generations)
    if len(sets) < count:
        raise UserError(f"generation {count} is beyond the training sets, of which there are {len(sets)}; list more")
    state = _State(originals, 0, 0.0, 0.0, _Reuse(1.0, 0.0, 0.0))
    rows = [state.moments(estimator, variance)]
    for numbers in sets[:count]:
        state = state.after(_checked(Blended(*numbers), state, originals), originals, estimator, variance)
        rows.append(state.moments(estimator, variance))
    values = at(generations, np.array(rows))
    return GaussianMoments(values[:, 0], values[:, 1])


@dataclass(frozen=True)
class _Reuse:
    """Hold what one original row o has to do with set g: s(o) is the mean of E x_o x over its synthetic rows x.

    Attributes:
        inside: π, the probability that o is in set g.
        product_inside: E s(o), counted where o is in set g.
        product_outside: E s(o), counted where it is not.
    """

    inside: float
    product_inside: float
    product_outside: float

    def after(self, rows: Blended, before: _State, originals: int, variance: float) -> _Reuse:
        """Return the same of the next set.

        s'(o) = a σ²/(n S') where o is in set g, plus (a S/n + b)/S' · s(o). An original stays in the set with
        probability k/K, and one that is not kept is drawn with probability c/(N - k).
        """
        synthetic, n = rows.latest + rows.kept_synthetic, before.real + before.synthetic
        drawn = rows.drawn / (originals - rows.kept_real) if rows.drawn else 0.0
        kept = rows.kept_real / before.real if before.real else 0.0
        stays = kept + (1 - kept) * drawn
        inside = outside = 0.0
        if synthetic:
            factor = (rows.latest * before.synthetic / n + rows.kept_synthetic) / synthetic
            inside = rows.latest * variance / (n * synthetic) * self.inside + factor * self.product_inside
            outside = factor * self.product_outside
        products = stays * inside + drawn * outside, (1 - stays) * inside + (1 - drawn) * outside
        return _Reuse((rows.kept_real + rows.drawn) / originals, *products)


@dataclass(frozen=True)
class _State:
    """Hold K, S, Q and P of a set, and `_Reuse`."""

    real: int
    synthetic: int
    square: float
    product: float
    reuse: _Reuse

    @property
    def mixed(self) -> float:
        """Return R."""
        return self.reuse.product_inside / self.reuse.inside if self.real else 0.0

    def moments(self, estimator: Estimator, variance: float) -> tuple[float, float]:
        """Return E σ_g² and A."""
        k, s, n = self.real, self.synthetic, self.real + self.synthetic
        squares = k * variance + s * self.square
        error = (squares + s * (s - 1) * self.product + 2 * k * s * self.mixed) / n**2
        return (squares - n * error) / float(divisor(np.array([n], float), estimator)[0]), error

    def after(self, rows: Blended, originals: int, estimator: Estimator, variance: float) -> _State:
        """Return the state of the next set."""
        spread, error = self.moments(estimator, variance)
        a, b, s = rows.latest, rows.kept_synthetic, rows.latest + rows.kept_synthetic
        own = (self.square + (self.synthetic - 1) * self.product + self.real * self.mixed) / (
            self.real + self.synthetic
        )
        square = (a * (error + spread) + b * self.square) / s if s else 0.0
        pairs = a * (a - 1) * error + 2 * a * b * own + b * (b - 1) * self.product
        product = pairs / (s * (s - 1)) if s > 1 else 0.0
        reuse = self.reuse.after(rows, self, originals, variance)
        return _State(rows.kept_real + rows.drawn, s, square, product, reuse)


def _checked(rows: Blended, before: _State, originals: int) -> Blended:
    enough = rows.kept_real <= before.real and rows.kept_synthetic <= before.synthetic
    if min(rows) < 0 or sum(rows) < 2 or not enough or rows.kept_real + rows.drawn > originals:
        raise UserError(
            "a blended training set has 2 rows or more, and no more kept and original rows than there are; got "
            f"{rows.latest} latest, {rows.kept_real} kept real, {rows.kept_synthetic} kept synthetic and {rows.drawn} "
            f"original rows, of {before.real} real and {before.synthetic} synthetic ones before and {originals} "
            "originals"
        )
    return rows
