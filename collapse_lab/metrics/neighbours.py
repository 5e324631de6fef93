"""Find nearest neighbours in tiles, so that no n x n matrix is ever held."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.clouds import Cloud, clouds, double_tile, exact, tile

TILE = 1024  # rows of one tile
SPARE = 5  # how many candidates are kept beyond the k that single precision finds nearest


def nearest(x: Float[Tensor, "n d"], k: int, rows: int = TILE) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Return the k nearest other rows of each row, nearest first: squared distances (float64) and indices.

    Copies of a row count as other rows, at distance 0.

    Args:
        x: the rows (n, d).
        k: the number of neighbours, in 1 … n - 1.
        rows: the rows of one tile.

    Raises:
        UserError: k < 1 or k >= n.
    """
    (cloud,) = clouds(x)
    candidates = neighbour_candidates(cloud, k, rows)
    candidates.settle(torch.ones_like(candidates.squares, dtype=torch.bool))
    return candidates.squares[:, :k] * cloud.scale**2, candidates.index[:, :k]


def nearest_in(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], k: int, rows: int = TILE
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Return the k nearest rows of y of each row of x, nearest first.

    Args:
        x: the rows (n, d) that look for neighbours.
        y: the rows (m, d) that may be neighbours.
        k: the number of neighbours, in 1 … m.
        rows: the rows of one tile.

    Returns:
        Squared distances (n, k) in float64, and indices (n, k) into y.

    Raises:
        UserError: k < 1 or k > m.
    """
    if not 1 <= k <= len(y):
        raise UserError(f"k = {k} neighbours do not exist in a set of {len(y)} rows: give k in 1 … {len(y)}")
    a, b = clouds(x, y)
    candidates = Candidates(a, b, min(k + SPARE, len(b)))
    for start in range(0, len(a), rows):
        tile_rows = slice(start, start + rows)
        candidates.offer(tile_rows, tile(a, b, tile_rows), 0)
    candidates.complete(k)
    candidates.settle(torch.ones_like(candidates.squares, dtype=torch.bool))
    return candidates.squares[:, :k] * a.scale**2, candidates.index[:, :k]


def kth_squared_distance(cloud: Cloud, k: int, rows: int = TILE) -> Float[Tensor, " n"]:
    """Return the squared distance of each row from its k-th nearest other row, in units of the cloud's squared scale.

    The result is exact (float64). Only the distances that could be the k-th are computed in double precision.

    Args:
        cloud: the rows.
        k: which neighbour, in 1 … n - 1.
        rows: the rows of one tile.

    Raises:
        UserError: k < 1 or k >= n.
    """
    candidates = neighbour_candidates(cloud, k, rows)
    kth, doubt = candidates.squares[:, k - 1 : k], candidates.doubt[:, None]
    candidates.settle((candidates.squares >= kth - doubt) & (candidates.squares <= kth + doubt))
    return candidates.squares[:, k - 1]


def check_neighbours(k: int, n: int) -> None:
    """Refuse a number of other neighbours that a set of n rows does not have.

    Raises:
        UserError: k < 1 or k >= n.
    """
    if not 1 <= k < n:
        raise UserError(f"k = {k} other neighbours do not exist in a set of {n} rows: give k in 1 … {n - 1}")


def neighbour_candidates(cloud: Cloud, k: int, rows: int = TILE) -> Candidates:
    """Return candidates that certainly include the k nearest other rows of each row.

    Args:
        cloud: the rows.
        k: the number of neighbours, in 1 … n - 1.
        rows: the rows of one tile.

    Raises:
        UserError: k < 1 or k >= n.
    """
    n = len(cloud)
    check_neighbours(k, n)
    candidates = Candidates(cloud, cloud, min(k + SPARE, n - 1))
    for start in range(0, n, rows):
        tile_rows, columns = slice(start, min(start + rows, n)), slice(start, n)
        # Because distances are symmetric, the half on and above the diagonal serves both of its rows
        distances = tile(cloud, cloud, tile_rows, columns)
        distances.fill_diagonal_(torch.inf)
        candidates.offer(tile_rows, distances, start)
        candidates.offer(slice(tile_rows.stop, n), distances[:, tile_rows.stop - start :].T, start)
    candidates.complete(k)
    return candidates


class Candidates:
    """Collect the rows of b that single precision finds nearest to each row of a, nearest first.

    Args:
        a: the cloud whose rows look for neighbours, n of them.
        b: the cloud whose rows may be neighbours; the same object as `a` where a row is no neighbour of itself.
        count: how many candidates to keep for each row of a.

    Attributes:
        squares: their squared distances, (n, count).
        index: their row numbers in b, (n, count).
        doubt: twice the error of any distance of a row, (n,).
    """

    def __init__(self, a: Cloud, b: Cloud, count: int) -> None:
        self._a, self._b, self._count = a, b, count
        self.squares = torch.full((len(a), count), torch.inf)
        self.index = torch.zeros(len(a), count, dtype=torch.int64)
        self.doubt = 2 * (a.doubt + b.doubt.max())

    def offer(self, rows: slice, distances: Float[Tensor, "t m"], first: int) -> None:
        """Keep the nearest of the candidates so far and of some more rows of b.

        Args:
            rows: the t rows of a.
            distances: their squared distances from the rows `first`, `first` + 1, … of b.
            first: the number of the first of these rows of b.
        """
        count = min(self._count, distances.shape[1])
        if len(distances) == 0:
            return
        new_squares, columns = distances.topk(count, dim=1, largest=False)
        squares = torch.cat([self.squares[rows], new_squares], 1)
        index = torch.cat([self.index[rows], columns + first], 1)
        self.squares[rows], chosen = squares.topk(self._count, dim=1, largest=False)
        self.index[rows] = index.gather(1, chosen)

    def complete(self, k: int) -> None:
        """Find the candidates again in double precision for rows where one left out may be among the k nearest."""
        same = self._a is self._b
        if self._count == len(self._b) - same:
            return
        last = self.squares[:, -1]
        unsure = last <= self.squares[:, k - 1] + self.doubt + torch.finfo(torch.float32).eps * last
        for rows in torch.split(unsure.nonzero()[:, 0], TILE):
            distances = double_tile(self._a, self._b, rows)
            if same:
                distances[torch.arange(len(rows)), rows] = torch.inf
            squares, self.index[rows] = distances.topk(self._count, dim=1, largest=False)
            self.squares[rows] = squares.to(self.squares.dtype)

    def settle(self, chosen: Bool[Tensor, "n count"]) -> None:
        """Replace the chosen distances by exact ones, and sort all candidates by distance."""
        self.squares = self.squares.double()
        i, column = chosen.nonzero(as_tuple=True)
        self.squares[i, column] = exact(self._a, self._b, i, self.index[i, column])
        self.squares, order = self.squares.sort(dim=1, stable=True)
        self.index = self.index.gather(1, order)
