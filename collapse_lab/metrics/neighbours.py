"""Nearest neighbours in tiles, so that no n x n matrix is ever held."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from collapse_lab.errors import UserError

TILE = 1024
# Squared distances come from inner products, so a distance of exactly 0 comes out as rounding of the squared
# norms. Differences below this share of the norms are ties: far above rounding in float64, far below what two
# float32 features can differ by.
TIE = 1e-12


def squared_distances(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], tile: int = TILE, slack: float = 0.0
) -> Iterator[tuple[slice, Float[Tensor, "t m"]]]:
    """`|x_i - y_j|² - slack (|x_i|² + |y_j|²)` for `tile` rows of x at a time: (rows, distances (t, m)).

    x and y in float64; rounding can leave a distance of 0 a little below it. Memory: O(tile · m).
    """
    norm_x, norm_y = (1 - slack) * (x**2).sum(1), (1 - slack) * (y**2).sum(1)
    for start in range(0, len(x), tile):
        rows = slice(start, start + tile)
        yield rows, torch.addmm(norm_y, x[rows], y.T, alpha=-2).add_(norm_x[rows, None])


def nearest(x: Float[Tensor, "n d"], k: int, tile: int = TILE) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The k nearest other rows of each row, nearest first: squared distances and indices.

    Copies of a row count as others, at distance 0.

    Raises:
        UserError: k < 1 or k >= n.
    """
    if not 1 <= k < len(x):
        raise UserError(f"k = {k} neighbours were asked for in a set of {len(x)} rows: k lies in 1 … n - 1")
    squares, index = x.new_empty(len(x), k), x.new_empty(len(x), k, dtype=torch.int64)
    for rows, distances in squared_distances(x, x, tile):
        here = torch.arange(len(distances))
        distances[here, here + rows.start] = torch.inf
        squares[rows], index[rows] = distances.topk(k, dim=1, largest=False)
    return squares.clamp_(min=0), index


def nearest_in(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], k: int, tile: int = TILE
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The k nearest rows of y of each row of x, nearest first: squared distances and indices into y.

    Raises:
        UserError: k < 1 or k > m.
    """
    if not 1 <= k <= len(y):
        raise UserError(f"k = {k} neighbours were asked for in a set of {len(y)} rows: k lies in 1 … m")
    squares, index = x.new_empty(len(x), k), x.new_empty(len(x), k, dtype=torch.int64)
    for rows, distances in squared_distances(x, y, tile):
        squares[rows], index[rows] = distances.topk(k, dim=1, largest=False)
    return squares.clamp_(min=0), index
