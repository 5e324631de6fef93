"""Estimate the squared maximum mean discrepancy of two sets of rows under a kernel of their inner product, by tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.clouds import Cloud
from collapse_lab.metrics.intervals import variance
from collapse_lab.metrics.tiles import TILE, Tile, pair, walk

STRIP = 32  # rows whose kernel is computed at a time, so few that float64 values stay in the cache
PAIRS = 2000  # the most random pairs that a mean square is taken over

# Maps inner products a·b of any shape, in float64, to k(a, b) of the same shape; it may overwrite its argument
Kernel = Callable[[Tensor], Tensor]


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
    first, second = pair(x, y)
    means = KernelMeans(first, second, kernel)
    walk(second, second, [means.of_second])
    walk(first, first, [means.of_first])
    walk(first, second, [means.of_both])
    return means.discrepancy()


def means_among(y: Cloud, kernel: Kernel) -> Float[Tensor, " m"]:
    """Return for each row the mean of k(y_i, y_j) over the other rows j."""
    means = KernelMeans(y, y, kernel)
    walk(y, y, [means.of_second])
    return means.yy


class KernelMeans:
    """Add up the values of a kernel for each row, tile by tile.

    x_i · y_j = (x_i - c) · (y_j - c) + with_centre_i + with_centre_j + c · c. Features lie far from zero, so the inner
    products of centred rows are small and lose less in single precision.

    Args:
        x: the first set.
        y: the second set, around the same centre c.
        kernel: maps inner products to values of the kernel.
        yy: what `means_among(y, kernel)` returned, if it is known; then `of_second` is not to be called.
    """

    def __init__(self, x: Cloud, y: Cloud, kernel: Kernel, yy: Float[Tensor, " m"] | None = None) -> None:
        self._x, self._y, self._kernel = x, y, kernel
        self._level = float(y.centre @ y.centre)
        (self._with_x, squares_x), (self._with_y, squares_y) = _projections(x), _projections(y)
        # Because the tiles of one set include each row with itself, begin with the negative of that
        self._xx, self._yy = -kernel(squares_x), -kernel(squares_y)
        self._xy, self._yx = torch.zeros_like(squares_x), torch.zeros_like(squares_y)
        self._known = yy

    @property
    def yy(self) -> Float[Tensor, " m"]:
        """Return for each row of y the mean of k(y_i, y_j) over the other rows j of y."""
        return self._yy / (len(self._yy) - 1) if self._known is None else self._known

    def of_first(self, tile: Tile) -> None:
        """Add a tile of pairs of x."""
        self._add(tile, self._with_x, self._with_x, self._xx, self._xx[tile.rows.stop :])

    def of_second(self, tile: Tile) -> None:
        """Add a tile of pairs of y."""
        self._add(tile, self._with_y, self._with_y, self._yy, self._yy[tile.rows.stop :])

    def of_both(self, tile: Tile) -> None:
        """Add a tile of pairs of x with y."""
        self._add(tile, self._with_x, self._with_y, self._xy, self._yx)

    def _add(
        self,
        tile: Tile,
        with_a: Float[Tensor, " n"],
        with_b: Float[Tensor, " m"],
        of_a: Float[Tensor, " n"],
        of_b: Float[Tensor, " r"],
    ) -> None:
        """Add the kernel's values of a tile to the sums of its rows, and of its last columns, r of them."""
        offsets, scale = with_b[tile.columns] + self._level, tile.b.scale**2
        for start in range(0, len(tile.products), STRIP):
            strip = slice(start, min(start + STRIP, len(tile.products)))
            rows = slice(tile.rows.start + strip.start, tile.rows.start + strip.stop)
            products = torch.add(offsets, tile.products[strip], alpha=scale).add_(with_a[rows, None])
            values = self._kernel(products)
            of_a[rows] += values.sum(1)
            if len(of_b):
                of_b += values[:, -len(of_b) :].sum(0)

    def discrepancy(self) -> Discrepancy:
        """Return the estimate, after all tiles."""
        xx, yy = self._xx / (len(self._xx) - 1), self.yy
        xy, yx = self._xy / len(yy), self._yx / len(xx)
        value = float(xx.mean() + yy.mean() - 2 * xy.mean())
        influence = (2 * (xx - xy), 2 * (yy - yx))
        of_pairs = (
            2 * self._mean_square(self._x, self._x, self._with_x, self._with_x, xx, xx) / len(xx) ** 2
            + 2 * self._mean_square(self._y, self._y, self._with_y, self._with_y, yy, yy) / len(yy) ** 2
            + 4 * self._mean_square(self._x, self._y, self._with_x, self._with_y, xy, yx) / (len(xx) * len(yy))
        )
        total = variance(influence)
        share = (max(total - of_pairs, of_pairs) / total) ** 0.5 if total > 0 else 0.0
        return Discrepancy(value, (influence[0] * share, influence[1] * share))

    def _mean_square(
        self,
        a: Cloud,
        b: Cloud,
        with_a: Float[Tensor, " n"],
        with_b: Float[Tensor, " m"],
        of_a: Float[Tensor, " n"],
        of_b: Float[Tensor, " m"],
    ) -> float:
        """Return E (k(a_i, b_j) - E_j k(a_i, b_j) - E_i k(a_i, b_j) + E k)², over random pairs of different rows."""
        generator = torch.Generator().manual_seed(1)
        i, j = (torch.randint(len(rows), (PAIRS,), generator=generator).to(rows.near.device) for rows in (a, b))
        if a is b:
            i, j = i[i != j], j[i != j]
        products = (a.near[i].double() * b.near[j].double()).sum(1) * a.scale**2
        centred = self._kernel(products + with_a[i] + with_b[j] + self._level) - of_a[i] - of_b[j] + of_a.mean()
        return float(centred.square().mean())


def _projections(cloud: Cloud) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return (x_i - c) · c and |x_i|² of each row in float64, with c the cloud's centre."""
    with_centre = cloud.centre.new_empty(len(cloud))
    squares = torch.empty_like(with_centre)
    for start in range(0, len(cloud), TILE):
        chunk = slice(start, start + TILE)
        rows = cloud.rows[chunk].double()
        squares[chunk] = (rows**2).sum(1)
        with_centre[chunk] = (rows - cloud.centre) @ cloud.centre
    return with_centre, squares
