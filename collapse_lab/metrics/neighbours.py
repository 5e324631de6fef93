"""Find nearest neighbours in tiles, so that no n x n matrix is ever held."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.clouds import Cloud, double_tile, exact
from collapse_lab.metrics.tiles import TILE, Tile, walk

SPARE = 5  # how many candidates are kept beyond the k that single precision finds nearest


def kth_squared_distance(cloud: Cloud, k: int) -> Float[Tensor, " n"]:
    """Return the squared distance of each row from its k-th nearest other row, in units of the cloud's squared scale.

    The result is exact (float64).

    Args:
        cloud: the rows.
        k: which neighbour, in 1 … n - 1.

    Raises:
        UserError: k < 1 or k >= n.
    """
    check_neighbours(k, len(cloud))
    candidates = Candidates(cloud, cloud, k)
    walk(cloud, cloud, [candidates.take])
    return candidates.kth()


class Listed(NamedTuple):
    """Hold the nearest other rows of each row of a set, so that subsets of it find theirs without any inner product.

    Attributes:
        squares: squared distances in the precision of tiles, in units of the squared scale, rising, (n, count).
        numbers: row numbers, (n, count).
    """

    squares: Float[Tensor, "n count"]
    numbers: Int[Tensor, "n count"]


def listed(cloud: Cloud, k: int, count: int) -> tuple[Float[Tensor, " n"], Listed]:
    """Return what `kth_squared_distance` returns, and a list of `count` rows or a few more for each row."""
    check_neighbours(k, len(cloud))
    candidates = Candidates(cloud, cloud, k, spare=max(SPARE, count - k))
    walk(cloud, cloud, [candidates.take])
    return candidates.kth(), candidates.listed()


def kth_of_listed(cloud: Cloud, k: int, subset: Int[Tensor, " p"], of_all: Listed) -> Float[Tensor, " p"]:
    """Return what `kth_squared_distance` returns of a subset, whose row numbers rise."""
    place = torch.full((len(cloud),), -1, device=subset.device)
    place[subset] = torch.arange(len(subset), device=subset.device)
    squares, index = of_all.squares[subset], place[of_all.numbers[subset].long()]
    candidates = Candidates(cloud, cloud, k, subset, subset)
    complete = squares.shape[1] == len(cloud) - 1
    candidates.begin(squares.masked_fill(index < 0, torch.inf), index, None if complete else squares[:, -1])
    return candidates.kth()


def check_neighbours(k: int, n: int) -> None:
    """Refuse a number of other neighbours that a set of n rows does not have.

    Raises:
        UserError: k < 1 or k >= n.
    """
    if not 1 <= k < n:
        raise UserError(
            f"k = {k} other neighbours do not exist in a set of {n} rows: give k in 1 … {n - 1}, more rows, or metrics "
            "that count no neighbours, such as metrics=[fid]"
        )


class Candidates:
    """Collect, tile by tile, rows that certainly include the k nearest ones of each row, by single precision.

    Args:
        a: the cloud whose rows look for neighbours, n of them.
        b: the cloud whose rows may be neighbours; the same object as `a` where a row is no neighbour of itself.
        k: the number of neighbours.
        of_a: which rows of a look for neighbours, rising; None means all of them.
        of_b: which rows of b may be neighbours, rising; None means all of them, and within one set it is `of_a`.
        spare: how many candidates are kept beyond the k nearest.
    """

    def __init__(
        self,
        a: Cloud,
        b: Cloud,
        k: int,
        of_a: Int[Tensor, " n"] | None = None,
        of_b: Int[Tensor, " m"] | None = None,
        spare: int = SPARE,
    ) -> None:
        self._a, self._b, self._k, self._of_a, self._of_b = a, b, k, of_a, of_b
        self._same = a is b
        doubt = (a.doubt if of_a is None else a.doubt[of_a], b.doubt if of_b is None else b.doubt[of_b])
        n, self._m = len(doubt[0]), len(doubt[1])
        self._count = min(k + spare, self._m - self._same)
        self._squares = torch.full((n, self._count), torch.inf, dtype=a.near.dtype, device=a.near.device)
        self._index = torch.zeros(n, self._count, dtype=torch.int64, device=a.near.device)
        self._doubt = 2 * (doubt[0] + doubt[1].max())  # twice the error of any distance of a row
        # No row that was never looked at is nearer than this
        self._beyond = torch.full((n,), torch.inf, dtype=a.near.dtype, device=a.near.device)

    def take(self, tile: Tile) -> None:
        """Look at a tile."""
        rows, columns = part(self._of_a, tile.rows), part(self._of_b, tile.columns)
        distances = chosen(tile, self._of_a, rows, self._of_b, columns)
        self._offer(rows, distances, columns.start)
        if self._same:
            # Because distances are symmetric, the half on and above the diagonal serves both of its rows
            self._offer(slice(rows.stop, columns.stop), distances[:, rows.stop - columns.start :].T, rows.start)

    def begin(
        self, squares: Float[Tensor, "n c"], index: Int[Tensor, "n c"], beyond: Float[Tensor, " n"] | None
    ) -> None:
        """Look at some rows in place of tiles.

        Args:
            squares: their squared distances; infinity for what is no row.
            index: their numbers among the rows that may be neighbours.
            beyond: the least squared distance that other rows may have; None if there are no others.
        """
        count = min(self._count, squares.shape[1])
        self._squares[:, :count], chosen = squares.topk(count, dim=1, largest=False)
        self._index[:, :count] = index.gather(1, chosen)
        if beyond is not None:
            self._beyond = beyond

    def listed(self) -> Listed:
        """Return the candidates, nearest first, after all tiles."""
        squares, order = self._squares.sort(dim=1)
        return Listed(squares, self._index.gather(1, order).int())

    def _offer(self, rows: slice, distances: Float[Tensor, "t m"], first: int) -> None:
        """Keep the nearest of the candidates so far and of some more, whose first has the number `first`."""
        count = min(self._count, distances.shape[1])
        if 0 in distances.shape:
            return
        new_squares, columns = distances.topk(count, dim=1, largest=False)
        squares = torch.cat([self._squares[rows], new_squares], 1)
        index = torch.cat([self._index[rows], columns + first], 1)
        self._squares[rows], kept = squares.topk(self._count, dim=1, largest=False)
        self._index[rows] = index.gather(1, kept)

    def nearest(self) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """Return exact squared distances (float64) and numbers of the k nearest rows, nearest first, after all tiles.

        The numbers count the rows that may be neighbours, from 0.
        """
        self._complete()
        kth, doubt = self._squares[:, self._k - 1 : self._k], self._doubt[:, None]
        squares, index = self._settled(self._squares <= kth + doubt)
        return squares[:, : self._k], index[:, : self._k]

    def kth(self) -> Float[Tensor, " n"]:
        """Return the exact squared distance (float64) from the k-th nearest row, after all tiles."""
        self._complete()
        kth, doubt = self._squares[:, self._k - 1 : self._k], self._doubt[:, None]
        # Only the distances that could be the k-th are computed in double precision
        return self._settled((self._squares >= kth - doubt) & (self._squares <= kth + doubt))[0][:, self._k - 1]

    def _complete(self) -> None:
        """Find the candidates again in double precision for rows where one left out may be among the k nearest."""
        left_out = self._count < self._m - self._same
        last = torch.minimum(self._squares[:, -1], self._beyond) if left_out else self._beyond
        unsure = last <= self._squares[:, self._k - 1] + self._doubt + torch.finfo(torch.float32).eps * last
        unsure &= last.isfinite()
        if not bool(unsure.any()):
            return
        columns = slice(None) if self._of_b is None else self._of_b
        for rows in torch.split(unsure.nonzero()[:, 0], TILE):
            distances = double_tile(self._a, self._b, _numbers(self._of_a, rows), columns=columns)
            if self._same:
                distances[torch.arange(len(rows), device=rows.device), rows] = torch.inf
            squares, self._index[rows] = distances.topk(self._count, dim=1, largest=False)
            self._squares[rows] = squares.to(self._squares.dtype)

    def _settled(self, doubted: Bool[Tensor, "n count"]) -> tuple[Float[Tensor, "n count"], Int[Tensor, "n count"]]:
        """Replace the chosen distances by exact ones, and sort all candidates by distance."""
        squares = self._squares.double()
        i, column = doubted.nonzero(as_tuple=True)
        j = self._index[i, column]
        squares[i, column] = exact(self._a, self._b, _numbers(self._of_a, i), _numbers(self._of_b, j))
        squares, order = squares.sort(dim=1, stable=True)
        return squares, self._index.gather(1, order)


def part(numbers: Int[Tensor, " n"] | None, rows: slice) -> slice:
    """Return which of some rising row numbers lie within a slice of rows; None stands for all numbers."""
    if numbers is None:
        return rows
    first, last = torch.searchsorted(numbers, torch.tensor([rows.start, rows.stop], device=numbers.device)).tolist()
    return slice(first, last)


def chosen(
    tile: Tile, of_a: Int[Tensor, " n"] | None, rows: slice, of_b: Int[Tensor, " m"] | None, columns: slice
) -> Float[Tensor, "t c"]:
    """Return a tile's distances of the rows of_a[rows] from the rows of_b[columns]."""
    distances = tile.distances
    if of_a is not None:
        distances = distances[of_a[rows] - tile.rows.start]
    return distances if of_b is None else distances.index_select(1, of_b[columns] - tile.columns.start)


def _numbers(rows: Int[Tensor, " n"] | None, index: Int[Tensor, " p"]) -> Int[Tensor, " p"]:
    return index if rows is None else rows[index]
