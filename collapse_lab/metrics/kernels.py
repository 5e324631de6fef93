"""Estimate the squared maximum mean discrepancy of two sets of rows under a kernel of their inner product, by tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.intervals import variance

TILE = 1024  # rows of one tile of the kernel matrix
PAIRS = 2000  # the most random pairs that a mean square is taken over

# Maps inner products a·b of any shape, in float64, to k(a, b) of the same shape; it may overwrite its argument
Kernel = Callable[[Tensor], Tensor]


class KernelRows(NamedTuple):
    """Hold rows relative to a common centre c, so that kernel tiles of them are cheap and exact.

    x_i · y_j = near_i · near_j + with_centre_i + with_centre_j + c·c. Features lie far from zero, so the inner
    products of `near` are small and lose less in single precision.

    Attributes:
        near: the rows less c, (n, d), in the precision of the rows.
        with_centre: near_i · c, (n,), in float64.
        squares: |x_i|², (n,), in float64.
    """

    near: Float[Tensor, "n d"]
    with_centre: Float[Tensor, " n"]
    squares: Float[Tensor, " n"]


class Discrepancy(NamedTuple):
    """Hold the unbiased estimate of squared MMD, and contributions of the rows of x and of y with its variance.

    Attributes:
        value: the estimate.
        contributions: those of the rows of x (n,) and of the rows of y (m,).
    """

    value: float
    contributions: tuple[Float[Tensor, " n"], Float[Tensor, " m"]]


def discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], kernel: Kernel) -> Discrepancy:
    """Return E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j.

    The third mean is over all n m pairs. Inner products are computed in the rows' own precision, everything else in
    float64. Half of a symmetric matrix is computed and used for both halves. Memory: O((n + m) d + TILE · max(n, m)).

    The estimate varies by what rows contribute by themselves, V1, and in pairs, V2 (Hoeffding). Where x and y are of
    one distribution, V1 is 0. The contributions, each a mean over the other rows, vary by V1 + 2 V2, so we shrink
    them to V1 + V2. V2 is estimated from random pairs.

    Args:
        x: the first set (n, d).
        y: the second set (m, d).
        kernel: maps inner products to values of the kernel.
    """
    centre = (x.sum(0, dtype=torch.float64) + y.sum(0, dtype=torch.float64)) / (len(x) + len(y))
    a, b = _kernel_rows(x, centre), _kernel_rows(y, centre)
    level = float(centre @ centre)
    xx, yy = _among(a, level, kernel), _among(b, level, kernel)
    xy, yx = _between(a, b, level, kernel)
    value = float(xx.mean() + yy.mean() - 2 * xy.mean())
    influence = (2 * (xx - xy), 2 * (yy - yx))
    of_pairs = (
        2 * _mean_square(a, a, xx, xx, level, kernel) / len(x) ** 2
        + 2 * _mean_square(b, b, yy, yy, level, kernel) / len(y) ** 2
        + 4 * _mean_square(a, b, xy, yx, level, kernel) / (len(x) * len(y))
    )
    total = variance(influence)
    share = (max(total - of_pairs, of_pairs) / total) ** 0.5 if total > 0 else 0.0
    return Discrepancy(value, (influence[0] * share, influence[1] * share))


def _kernel_rows(x: Float[Tensor, "n d"], centre: Float[Tensor, " d"]) -> KernelRows:
    near, with_centre, squares = torch.empty_like(x), centre.new_empty(len(x)), centre.new_empty(len(x))
    for start in range(0, len(x), TILE):
        chunk = slice(start, start + TILE)
        rows = x[chunk].double()
        squares[chunk] = (rows**2).sum(1)
        near[chunk] = rows = rows - centre
        with_centre[chunk] = rows @ centre
    return KernelRows(near, with_centre, squares)


def _tile(
    a: KernelRows, b: KernelRows, rows: slice, columns: slice, level: float, kernel: Kernel
) -> Float[Tensor, "t m"]:
    products = (a.near[rows] @ b.near[columns].T).double()
    return kernel(products.add_(a.with_centre[rows, None] + level).add_(b.with_centre[columns]))


def _among(a: KernelRows, level: float, kernel: Kernel) -> Float[Tensor, " n"]:
    """Return for each row i the mean of k(a_i, a_j) over the other rows j."""
    sums = -kernel(a.squares.clone())  # because the tiles include each row with itself
    for start in range(0, len(sums), TILE):
        rows, stop = slice(start, start + TILE), start + TILE
        block = _tile(a, a, rows, slice(start, None), level, kernel)
        sums[rows] += block.sum(1)
        sums[stop:] += block[:, TILE:].sum(0)
    return sums / (len(sums) - 1)


def _between(
    a: KernelRows, b: KernelRows, level: float, kernel: Kernel
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the mean of k(a_i, b_j) over the rows of b for each row of a, and over those of a for each row of b."""
    of_a, of_b = torch.zeros_like(a.squares), torch.zeros_like(b.squares)
    for start in range(0, len(of_a), TILE):
        rows = slice(start, start + TILE)
        block = _tile(a, b, rows, slice(None), level, kernel)
        of_a[rows] = block.sum(1)
        of_b += block.sum(0)
    return of_a / len(of_b), of_b / len(of_a)


def _mean_square(
    a: KernelRows, b: KernelRows, of_a: Float[Tensor, " n"], of_b: Float[Tensor, " m"], level: float, kernel: Kernel
) -> float:
    """Return E (k(a_i, b_j) - E_j k(a_i, b_j) - E_i k(a_i, b_j) + E k)², over random pairs of different rows."""
    generator = torch.Generator().manual_seed(1)
    i, j = (torch.randint(len(rows.near), (PAIRS,), generator=generator) for rows in (a, b))
    if a is b:
        i, j = i[i != j], j[i != j]
    products = (a.near[i].double() * b.near[j].double()).sum(1) + a.with_centre[i] + b.with_centre[j] + level
    centred = kernel(products) - of_a[i] - of_b[j] + of_a.mean()
    return float(centred.square().mean())
