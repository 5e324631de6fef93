"""Squared maximum mean discrepancy of two sets of rows under a kernel of their inner product, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.intervals import variance

TILE = 1024  # rows of one tile of the kernel matrix
PAIRS = 2000  # of which a mean square is taken, at most

# a·b of any shape, in float64 -> k(a, b) of the same shape
Kernel = Callable[[Tensor], Tensor]


class Rows(NamedTuple):
    """Rows around a common centre c, and what they and c make of an inner product, in float64.

    x_i · y_j = near_i · near_j + with_centre_i + with_centre_j + c·c. Features lie far from zero: the inner products
    of `near` are small, and lose the less in single precision.
    """

    near: Float[Tensor, "n d"]
    with_centre: Float[Tensor, " n"]
    squares: Float[Tensor, " n"]


class Discrepancy(NamedTuple):
    """The unbiased estimate of squared MMD, and contributions of the rows of x and of y with its variance."""

    value: float
    contributions: tuple[Float[Tensor, " n"], Float[Tensor, " m"]]


def discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], kernel: Kernel) -> Discrepancy:
    """E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), means over pairs with i != j; the third over all n m pairs.

    Inner products in the rows' own precision, everything else in float64; the half of a symmetric matrix serves for
    the whole. Memory: O((n + m) d + TILE · max(n, m)).

    The estimate varies by what rows contribute by themselves, V1, and in pairs, V2 (Hoeffding); V2 is all there is
    where x and y are of one distribution. The contributions, each a mean over the other rows, vary by V1 + 2 V2, and
    are shrunk to V1 + V2; V2 is estimated from random pairs.
    """
    centre = (x.sum(0, dtype=torch.float64) + y.sum(0, dtype=torch.float64)) / (len(x) + len(y))
    a, b = _rows(x, centre), _rows(y, centre)
    level = float(centre @ centre)
    xx, yy = _among(a, level, kernel), _among(b, level, kernel)
    xy, yx = _between(a, b, level, kernel)
    value = float(xx.mean() + yy.mean() - 2 * xy.mean())
    influence = (2 * (xx - xy), 2 * (yy - yx))
    in_pairs = (
        2 * _mean_square(a, a, xx, xx, level, kernel) / len(x) ** 2
        + 2 * _mean_square(b, b, yy, yy, level, kernel) / len(y) ** 2
        + 4 * _mean_square(a, b, xy, yx, level, kernel) / (len(x) * len(y))
    )
    found = variance(influence)
    share = (max(found - in_pairs, in_pairs) / found) ** 0.5 if found > 0 else 0.0
    return Discrepancy(value, (influence[0] * share, influence[1] * share))


def _rows(x: Float[Tensor, "n d"], centre: Float[Tensor, " d"]) -> Rows:
    near, with_centre, squares = torch.empty_like(x), centre.new_empty(len(x)), centre.new_empty(len(x))
    for start in range(0, len(x), TILE):
        part = slice(start, start + TILE)
        rows = x[part].double()
        squares[part] = (rows**2).sum(1)
        near[part] = rows = rows - centre
        with_centre[part] = rows @ centre
    return Rows(near, with_centre, squares)


def _tile(a: Rows, b: Rows, rows: slice, columns: slice, level: float, kernel: Kernel) -> Float[Tensor, "t m"]:
    products = (a.near[rows] @ b.near[columns].T).double()
    return kernel(products.add_(a.with_centre[rows, None] + level).add_(b.with_centre[columns]))


def _among(a: Rows, level: float, kernel: Kernel) -> Float[Tensor, " n"]:
    """Mean of k(a_i, a_j) over the other rows j, of each row i."""
    sums = -kernel(a.squares.clone())  # the row itself, which the tiles hold
    for start in range(0, len(sums), TILE):
        here, stop = slice(start, start + TILE), start + TILE
        block = _tile(a, a, here, slice(start, None), level, kernel)
        sums[here] += block.sum(1)
        sums[stop:] += block[:, TILE:].sum(0)
    return sums / (len(sums) - 1)


def _between(a: Rows, b: Rows, level: float, kernel: Kernel) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Mean of k(a_i, b_j) over the rows of b, of each row of a, and over the rows of a, of each row of b."""
    of_a, of_b = torch.zeros_like(a.squares), torch.zeros_like(b.squares)
    for start in range(0, len(of_a), TILE):
        here = slice(start, start + TILE)
        block = _tile(a, b, here, slice(None), level, kernel)
        of_a[here] = block.sum(1)
        of_b += block.sum(0)
    return of_a / len(of_b), of_b / len(of_a)


def _mean_square(
    a: Rows, b: Rows, of_a: Float[Tensor, " n"], of_b: Float[Tensor, " m"], level: float, kernel: Kernel
) -> float:
    """E (k(a_i, b_j) - E_j k(a_i, b_j) - E_i k(a_i, b_j) + E k)², over random pairs of different rows."""
    generator = torch.Generator().manual_seed(1)
    i, j = (torch.randint(len(each.near), (PAIRS,), generator=generator) for each in (a, b))
    if a is b:
        i, j = i[i != j], j[i != j]
    products = (a.near[i].double() * b.near[j].double()).sum(1) + a.with_centre[i] + b.with_centre[j] + level
    centred = kernel(products) - of_a[i] - of_b[j] + of_a.mean()
    return float(centred.square().mean())
