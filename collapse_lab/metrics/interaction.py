"""The part of a statistic's noise that its rows make in pairs."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PAIRS = 1000  # of which the mean square is taken, at most


def pairs(n: int, rng: np.random.Generator) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """The numbers of two different rows of n, for each of up to PAIRS random pairs."""
    order = torch.from_numpy(rng.permutation(n)[:PAIRS])
    return order, order.roll(1)


def in_pairs(second: Float[Tensor, " p"], n: int) -> Float[Tensor, " p"]:
    """Contributions for `around` whose mean has the variance E h² / (2 n²), h = `second` of random pairs of n rows.

    h(i, j) is the second derivative of the statistic in the weights of rows i and j: of the statistic of n rows, the
    part mean_ij h(i, j) / 2 is uncorrelated with what each row contributes by itself, and so adds its own variance
    (Hoeffding's decomposition). It is all of the noise where the rows' own influence vanishes, which is at an
    extremum, as where a few modes are equally frequent.
    """
    return second * math.sqrt(len(second) / 2) / n
