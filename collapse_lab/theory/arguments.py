"""Arguments that the closed forms share: generations, the sizes of their training sets, and the estimator."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError

# M of every generation, or a schedule M_0, M_1, …
SampleSizes = int | Int[np.ndarray, " m"]

# unbiased: Σ(x - x̄)²/(M - 1); ml, the maximum likelihood estimator: Σ(x - x̄)²/M
Estimator = Literal["unbiased", "ml"]


class GaussianMoments(NamedTuple):
    """Hold E variance_g and E (μ_g - μ)² of a chain of Gaussians.

    Attributes:
        variance: E variance_g of each generation, (g,).
        mean_error: E (μ_g - μ)² of each generation, (g,).
    """

    variance: Float[np.ndarray, " g"]
    mean_error: Float[np.ndarray, " g"]


def last(generations: Int[np.ndarray, " g"]) -> int:
    """Return G, the largest of the generations.

    Raises:
        UserError: There is no generation, or one is negative.
    """
    if not len(generations) or generations.min() < 0:
        raise UserError(f"generations should be whole numbers from 0; got {generations.tolist()}")
    return int(generations.max())


def sizes_until(generations: Int[np.ndarray, " g"], sizes: SampleSizes, least: int = 2) -> Float[np.ndarray, " n"]:
    """Return M_0, …, M_G as floats, (G + 1,), where G is the largest of the generations.

    Args:
        generations: Whole numbers ≥ 0, (g,), in any order.
        sizes: M of every generation, or the schedule M_0, M_1, …, which may be longer than needed.
        least: The smallest size that the closed form allows.

    Raises:
        UserError: There is no generation, one is negative, the schedule ends before G, or a size is below `least`.
    """
    n = last(generations) + 1
    if isinstance(sizes, np.ndarray) and len(sizes) < n:
        raise UserError(
            f"generation {n - 1} is beyond the schedule of sizes, which ends at generation {len(sizes) - 1}; "
            "lengthen the schedule, or ask for fewer generations"
        )
    schedule = np.broadcast_to(sizes, n) if np.ndim(sizes) == 0 else np.asarray(sizes)[:n]
    if schedule.min() < least:
        raise UserError(
            f"this closed form needs training sets of at least {least} rows; got a size of {schedule.min()}"
        )
    return schedule.astype(float)


def at(generations: Int[np.ndarray, " g"], values: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "g ..."]:
    """Return the entries of `values` (G + 1, ...) at the generations (g,), as (g, ...)."""
    picked: np.ndarray = values[generations]
    return picked


def divisor(sizes: Float[np.ndarray, " n"], estimator: Estimator) -> Float[np.ndarray, " n"]:
    """Return M - 1 (unbiased) or M (ML): the number by which the sum of squares about the mean is divided.

    Raises:
        UserError: The estimator is neither "unbiased" nor "ml".
    """
    if estimator not in ("unbiased", "ml"):
        raise UserError(f"estimator should be 'unbiased' or 'ml'; got {estimator!r}")
    return sizes - 1 if estimator == "unbiased" else sizes


def positive(name: str, value: float) -> None:
    """Check that a number is finite and above 0.

    Args:
        name: What the number is called in the message.
        value: The number.

    Raises:
        UserError: The number is not above 0, or not finite.
    """
    if not 0 < value < np.inf:
        raise UserError(f"{name} should be a number above 0; got {value}")
