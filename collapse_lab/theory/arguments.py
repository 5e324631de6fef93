"""What every closed form of a chain takes: generations, the sizes of their training sets, and the estimator."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError

# M of every generation, or M_0, M_1, … of a schedule
SampleSizes = int | Int[np.ndarray, " m"]

# Σ(x - x̄)²/(M - 1), or Σ(x - x̄)²/M as maximum likelihood has it
Estimator = Literal["unbiased", "ml"]


class GaussianMoments(NamedTuple):
    """E variance_g and E (μ_g - μ)² of a chain of Gaussians, each (g,)."""

    variance: Float[np.ndarray, " g"]
    mean_error: Float[np.ndarray, " g"]


def last(generations: Int[np.ndarray, " g"]) -> int:
    """The largest generation asked for.

    Raises: UserError: there is none, or one is negative.
    """
    if not len(generations) or generations.min() < 0:
        raise UserError(f"generations are whole numbers from 0; got {generations.tolist()}")
    return int(generations.max())


def sizes_until(generations: Int[np.ndarray, " g"], sizes: SampleSizes, least: int = 2) -> Float[np.ndarray, " n"]:
    """M_0, …, M_G as floats, G the largest generation asked for.

    Raises: UserError: the schedule ends before G, or a size is below `least`.
    """
    n = last(generations) + 1
    if isinstance(sizes, np.ndarray) and len(sizes) < n:
        raise UserError(
            f"generation {n - 1} is beyond the schedule of sizes, which ends at generation {len(sizes) - 1}; "
            "lengthen the schedule, or ask for fewer generations"
        )
    schedule = np.broadcast_to(sizes, n) if np.ndim(sizes) == 0 else np.asarray(sizes)[:n]
    if schedule.min() < least:
        raise UserError(f"a training set needs at least {least} rows here; got a size of {schedule.min()}")
    return schedule.astype(float)


def at(generations: Int[np.ndarray, " g"], values: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "g ..."]:
    """Those of the values of all generations 0, …, G that are asked for."""
    picked: np.ndarray = values[generations]
    return picked


def divisor(sizes: Float[np.ndarray, " n"], estimator: Estimator) -> Float[np.ndarray, " n"]:
    """M - 1 (unbiased) or M (maximum likelihood): what the sum of squares about the mean is divided by.

    Raises: UserError: another estimator.
    """
    if estimator not in ("unbiased", "ml"):
        raise UserError(f"estimator is unbiased or ml; got {estimator!r}")
    return sizes - 1 if estimator == "unbiased" else sizes


def positive(name: str, value: float) -> None:
    """Refuses what is not a number above 0."""
    if not 0 < value < np.inf:
        raise UserError(f"{name} is a number above 0; got {value}")
