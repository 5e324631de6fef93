"""Compute the part of a statistic's noise that pairs of rows cause."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PAIRS = 1000  # the most random pairs that a mean square is taken over


def random_pairs(n: int, rng: np.random.Generator) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Return the numbers of two different rows of n, for each of up to PAIRS random pairs."""
    order = torch.from_numpy(rng.permutation(n)[:PAIRS])
    return order, order.roll(1)


def pair_contributions(second: Float[Tensor, " p"], n: int) -> Float[Tensor, " p"]:
    """Return contributions for `around` whose mean has the variance E h² / (2 n²), with h = `second`.

    h(i, j) is the second derivative of the statistic in the weights of rows i and j. The part mean_ij h(i, j) / 2 of
    the statistic of n rows is uncorrelated with what each row contributes by itself, so it adds a variance of its
    own (Hoeffding's decomposition). It is all of the noise where the influence of single rows vanishes. This happens
    at an extremum, for example where a few modes are equally frequent.

    Args:
        second: h of random pairs of the n rows.
        n: the number of rows of the statistic.
    """
    return second * math.sqrt(len(second) / 2) / n
