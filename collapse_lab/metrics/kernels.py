"""Squared maximum mean discrepancy of two sets of rows under any kernel, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

BLOCK = 2048  # rows of one block of the kernel matrix

# (x (n, d), y (m, d)) -> k(x_i, y_j) (n, m)
Kernel = Callable[[Tensor, Tensor], Tensor]


class Discrepancy(NamedTuple):
    """The unbiased estimate of squared MMD, and the influence of each row of x and of y on it."""

    value: float
    influence_x: Float[Tensor, " n"]
    influence_y: Float[Tensor, " m"]


def discrepancy(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], kernel: Kernel, itself: Callable[[Tensor], Tensor]
) -> Discrepancy:
    """E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j; the third over all n m pairs.

    itself: k(x_i, x_i) of each row (n,). x and y in float64 (see `checked`). Memory: O(BLOCK · max(n, m)).
    """
    within_x, within_y = _mean_to_others(x, kernel, itself), _mean_to_others(y, kernel, itself)
    rows, columns = _row_and_column_sums(x, y, kernel)
    across_x, across_y = rows / len(y), columns / len(x)
    value = float(within_x.mean() + within_y.mean() - 2 * across_x.mean())
    return Discrepancy(value, 2 * (within_x - across_x), 2 * (within_y - across_y))


def _mean_to_others(x: Float[Tensor, "n d"], kernel: Kernel, itself: Callable[[Tensor], Tensor]) -> Float[Tensor, " n"]:
    return (_row_and_column_sums(x, x, kernel)[0] - itself(x)) / (len(x) - 1)


def _row_and_column_sums(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], kernel: Kernel
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    rows, columns = x.new_zeros(len(x)), x.new_zeros(len(y))
    for start in range(0, len(x), BLOCK):
        block = kernel(x[start : start + BLOCK], y)
        rows[start : start + BLOCK] = block.sum(1)
        columns += block.sum(0)
    return rows, columns
