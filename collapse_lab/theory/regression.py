"""Linear regression on regenerated labels: its error grows linearly if they replace, and is bounded if they accumulate.

Generation g is the least-squares fit ŵ_g of T rows (x, y) with x of N(0, S) in d dimensions, no intercept, and
y = xᵀŵ_{g-1} + noise of variance σ² (the real w for generation 0), alone (`replace`) or together with all the rows
before (`accumulate`). T may be a schedule T_0, T_1, …. The test error is E (xᵀŵ_g - xᵀw)², without the noise of the
test labels. T ≥ d + 2, else the error is infinite. Every result is exact for Gaussian noise or any other of variance
σ², and for any S of full rank: the derivations use only E (XᵀX)⁻¹ = S⁻¹/(T - d - 1), and the error is measured with S.
The papers state it for S = I.

Under accumulate, with A_g = Σ_{i≤g} X_iᵀX_i, the normal equations give
    A_g ŵ_g = A_{g-1} ŵ_{g-1} + X_gᵀX_g ŵ_{g-1} + X_gᵀ(noise)   so   ŵ_g = ŵ_{g-1} + A_g⁻¹ X_gᵀ(noise),
and each generation adds σ² E Tr(S A_g⁻¹ X_gᵀX_g A_g⁻¹). If the rows x are the `same` in every generation, that is
1/n² of the first fit's error, n = g + 1. If they are `fresh` it is σ² E Tr(S A_g⁻¹) T_g/N_g, as the rows x are
exchangeable, with A_g a Wishart matrix of N_g = T_0 + … + T_g degrees of freedom.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import psi

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import SampleSizes, at, positive, sizes_until

Design = Literal["same", "fresh"]


def single_fit_error(rows: int, dimension: int, noise: float = 1.0) -> float:
    """Return σ² d/(T - d - 1), the test error of one fit of T real rows. Exact.

    Args:
        rows: T, ≥ d + 2.
        dimension: d, above 0.
        noise: σ² of the labels, above 0.

    Raises:
        UserError: T < d + 2, where the error is infinite, or the dimension or the noise is not above 0.

    Source: the mean of an inverse Wishart matrix; arXiv:2404.01413.
    """
    positive("noise", noise)
    positive("dimension", dimension)
    if rows < dimension + 2:
        raise UserError(
            f"least squares in {dimension} dimensions has a finite test error from {dimension + 2} rows on; got {rows}"
        )
    return noise * dimension / (rows - dimension - 1)


def replace_error(
    generations: Int[np.ndarray, " g"], rows: SampleSizes, dimension: int, noise: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return Σ_{i≤g} σ² d/(T_i - d - 1), which is g + 1 times the first fit's error at constant T. Exact.

    It holds with the same rows x in every generation, and with fresh ones.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        rows: T_g, the rows that each generation is fitted to, ≥ d + 2.
        dimension: d, above 0.
        noise: σ² of the labels, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, a size is below d + 2, the schedule of sizes is too short, or the dimension
            or the noise is not above 0.

    Source: arXiv:2404.01413 (replace), after arXiv:2402.07712; derived here.
    """
    t = sizes_until(generations, rows, least=1)
    single_fit_error(int(t.min()), dimension, noise)
    return at(generations, np.cumsum(noise * dimension / (t - dimension - 1)))


def accumulate_error(
    generations: Int[np.ndarray, " g"], rows: SampleSizes, dimension: int, design: Design, noise: float = 1.0
) -> Float[np.ndarray, " g"]:
    """Return σ² d/(T - d - 1) · Σ_{i=1}^{g+1} 1/i² (same x), or Σ_{i≤g} (T_i/N_i) σ² d/(N_i - d - 1) (fresh x). Exact.

    N_i = T_0 + … + T_i. The paper's sum is the first. At constant T fresh rows give less: iT - d - 1 ≥ i (T - d - 1).
    So the paper's bound holds for them too.

    Args:
        generations: Whole numbers g ≥ 0, (g,), in any order.
        rows: T_g, the rows that each generation adds; T_0 ≥ d + 2, the others ≥ 1.
        dimension: d, above 0.
        design: Whether the rows x are the "same" in every generation, or "fresh" ones.
        noise: σ² of the labels, above 0.

    Returns:
        Numbers above 0, (g,).

    Raises:
        UserError: A generation is negative, T_0 is below d + 2, the schedule of sizes is too short, the dimension or
            the noise is not above 0, the design is unknown, or the same rows x are to have a schedule of sizes.

    Source: arXiv:2404.01413 (accumulate); the second form is derived here.
    """
    t = sizes_until(generations, rows, least=1)
    once = single_fit_error(int(t[0]), dimension, noise)
    if not _same(design):
        n = np.cumsum(t)
        return at(generations, np.cumsum(t / n * noise * dimension / (n - dimension - 1)))
    if np.any(t != t[0]):
        raise UserError(f"with design 'same' every generation has {t[0]:.0f} rows; got a schedule of sizes")
    i = np.arange(1, len(t) + 1)
    return at(generations, np.cumsum(once / i**2))


def accumulate_limit(rows: int, dimension: int, design: Design, noise: float = 1.0) -> float:
    """Return σ² d/(T - d - 1) · π²/6 (same x), or σ² d/(d + 1) · (ψ(1) - ψ(1 - (d + 1)/T)) (fresh x). Exact.

    These are the limits of `accumulate_error`, and bounds of it at every generation. The first bounds both designs.

    Args:
        rows: T, the rows that every generation adds, ≥ d + 2.
        dimension: d, above 0.
        design: Whether the rows x are the "same" in every generation, or "fresh" ones.
        noise: σ² of the labels, above 0.

    Raises:
        UserError: T < d + 2, the dimension or the noise is not above 0, or the design is unknown.

    Source: arXiv:2404.01413 (the bound π²/6); the second is derived here.
    """
    once = single_fit_error(rows, dimension, noise)
    if _same(design):
        return once * math.pi**2 / 6
    return noise * dimension / (dimension + 1) * float(psi(1) - psi(1 - (dimension + 1) / rows))


def _same(design: Design) -> bool:
    if design not in ("same", "fresh"):
        raise UserError(f"design should be 'same' or 'fresh'; got {design!r}")
    return design == "same"
