"""Nearest neighbours in tiles, so that no n x n matrix is ever held."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.clouds import Cloud, clouds, double_tile, exact, tile

TILE = 1024  # rows of one tile
SPARE = 5  # candidates beyond the k that single precision finds nearest


def nearest(x: Float[Tensor, "n d"], k: int, rows: int = TILE) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The k nearest other rows of each row, nearest first: squared distances (float64) and indices.

    Copies of a row count as others, at distance 0.

    Raises:
        UserError: k < 1 or k >= n.
    """
    (cloud,) = clouds(x)
    found = among(cloud, k, rows)
    found.settle(torch.ones_like(found.squares, dtype=torch.bool))
    return found.squares[:, :k] * cloud.scale**2, found.index[:, :k]


def nearest_in(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], k: int, rows: int = TILE
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The k nearest rows of y of each row of x, nearest first: squared distances (float64) and indices into y.

    Raises:
        UserError: k < 1 or k > m.
    """
    if not 1 <= k <= len(y):
        raise UserError(f"k = {k} neighbours were asked for in a set of {len(y)} rows: k lies in 1 … m")
    a, b = clouds(x, y)
    found = Candidates(a, b, min(k + SPARE, len(b)))
    for start in range(0, len(a), rows):
        here = slice(start, start + rows)
        found.offer(here, tile(a, b, here), 0)
    found.complete(k)
    found.settle(torch.ones_like(found.squares, dtype=torch.bool))
    return found.squares[:, :k] * a.scale**2, found.index[:, :k]


def reach(cloud: Cloud, k: int, rows: int = TILE) -> Float[Tensor, " n"]:
    """Squared distance of each row from its k-th nearest other row, in units of the cloud's scale (float64).

    Exact; only the distances that could be it are computed so.

    Raises:
        UserError: k < 1 or k >= n.
    """
    found = among(cloud, k, rows)
    wanted, doubt = found.squares[:, k - 1 : k], found.doubt[:, None]
    found.settle((found.squares >= wanted - doubt) & (found.squares <= wanted + doubt))
    return found.squares[:, k - 1]


def among(cloud: Cloud, k: int, rows: int = TILE) -> Candidates:
    """Those among which the k nearest other rows of each row certainly are."""
    n = len(cloud)
    if not 1 <= k < n:
        raise UserError(f"k = {k} neighbours were asked for in a set of {n} rows: k lies in 1 … n - 1")
    found = Candidates(cloud, cloud, min(k + SPARE, n - 1))
    for start in range(0, n, rows):
        here, rest = slice(start, min(start + rows, n)), slice(start, n)
        distances = tile(cloud, cloud, here, rest)  # the half on and above the diagonal serves both of its rows
        distances.fill_diagonal_(torch.inf)
        found.offer(here, distances, start)
        found.offer(slice(here.stop, n), distances[:, here.stop - start :].T, start)
    found.complete(k)
    return found


class Candidates:
    """The rows of b that single precision finds nearest to each row of a, nearest first.

    squares, index: (n, count).  doubt: twice the error of any distance of a row, (n,).
    """

    def __init__(self, a: Cloud, b: Cloud, count: int) -> None:
        self._a, self._b, self._count = a, b, count
        self.squares = torch.full((len(a), count), torch.inf)
        self.index = torch.zeros(len(a), count, dtype=torch.int64)
        self.doubt = 2 * (a.doubt + b.doubt.max())

    def offer(self, rows: slice, distances: Float[Tensor, "t m"], first: int) -> None:
        """Distances of these rows of a from the rows `first` and on of b."""
        count = min(self._count, distances.shape[1])
        if len(distances) == 0:
            return
        found, at = distances.topk(count, dim=1, largest=False)
        squares = torch.cat([self.squares[rows], found], 1)
        index = torch.cat([self.index[rows], at + first], 1)
        self.squares[rows], chosen = squares.topk(self._count, dim=1, largest=False)
        self.index[rows] = index.gather(1, chosen)

    def complete(self, k: int) -> None:
        """Finds them again in double precision for the rows where one left out may be among the k nearest."""
        own = self._a is self._b
        if self._count == len(self._b) - own:
            return
        last = self.squares[:, -1]
        unsure = last <= self.squares[:, k - 1] + self.doubt + torch.finfo(torch.float32).eps * last
        for rows in torch.split(unsure.nonzero()[:, 0], TILE):
            distances = double_tile(self._a, self._b, rows)
            if own:
                distances[torch.arange(len(rows)), rows] = torch.inf
            squares, self.index[rows] = distances.topk(self._count, dim=1, largest=False)
            self.squares[rows] = squares.to(self.squares.dtype)

    def settle(self, chosen: Bool[Tensor, "n count"]) -> None:
        """Exact distances for the chosen ones, and all of them in their order."""
        self.squares = self.squares.double()
        i, at = chosen.nonzero(as_tuple=True)
        self.squares[i, at] = exact(self._a, self._b, i, self.index[i, at])
        self.squares, order = self.squares.sort(dim=1, stable=True)
        self.index = self.index.gather(1, order)
