"""Squared distances in single precision with a bound on their error, and exact ones where that leaves a doubt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

UNIT = 2.0**-24  # of rounding in float32
# Distances in double precision that differ by less than this share of the squared norms are ties: far above the
# rounding of inner products, far below what two float32 features can differ by.
TIE = 1e-12
DENSE = 16  # one pair in so many in doubt: the whole tile is cheaper in double precision than pair by pair
PAIRS = 512  # compared exactly at a time


@dataclass(frozen=True)
class Cloud:
    """Rows made ready for distances, which are all in units of the squared `scale`.

    rows: as given, (n, d).  near: (rows - centre) / scale in float32.  norms: |near_i|².
    doubt: the squared distance of i and j computed from `near` is off by less than doubt_i + doubt_j.
    """

    rows: Float[Tensor, "n d"]
    near: Float[Tensor, "n d"]
    norms: Float[Tensor, " n"]
    doubt: Float[Tensor, " n"]
    centre: Float[Tensor, " d"]
    scale: float

    def __len__(self) -> int:
        return len(self.rows)


def clouds(*sets: Float[Tensor, "_ d"]) -> list[Cloud]:
    """The sets around their common centre, at the scale at which the mean squared norm is 1."""
    total = sum(len(rows) for rows in sets)
    centre = torch.stack([rows.sum(0, dtype=torch.float64) for rows in sets]).sum(0) / total
    centred = [_centred(rows, centre) for rows in sets]
    scale = float(torch.cat([squares for _, squares in centred]).mean()) ** 0.5 or 1.0
    found = []
    for rows, (near, squares) in zip(sets, centred, strict=True):
        norms = squares / scale**2
        # Rounding errors of random sign add up to sqrt(d) u |a||b| in the worst order of summation (Higham and Mary,
        # SIAM Journal on Scientific Computing 41, 2019). What was seen is at most 9 u (|a|² + |b|²), whatever d is:
        # a quarter of this, and less (tests/metrics/test_clouds.py).
        doubt = UNIT * (rows.shape[1] ** 0.5 + 32) * norms
        found.append(Cloud(rows, near.div_(scale), norms.float(), doubt.float(), centre, scale))
    return found


def _centred(rows: Float[Tensor, "n d"], centre: Float[Tensor, " d"]) -> tuple[Tensor, Tensor]:
    """(n, d) in float32, and the squared norms (n,) in float64."""
    near, squares = torch.empty(rows.shape, dtype=torch.float32), torch.empty(len(rows), dtype=torch.float64)
    for start in range(0, len(rows), PAIRS):
        part = slice(start, start + PAIRS)
        moved = rows[part].double() - centre
        near[part], squares[part] = moved, (moved**2).sum(1)
    return near, squares


def tile(a: Cloud, b: Cloud, rows: slice, columns: slice = slice(None)) -> Float[Tensor, "t m"]:
    """|a_i - b_j|² of some rows of either, in units of the scale, in float32."""
    distances = torch.addmm(b.norms[columns], a.near[rows], b.near[columns].T, alpha=-2)
    return distances.add_(a.norms[rows, None])


def exact(a: Cloud, b: Cloud, i: Int[Tensor, " p"], j: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """|a_i - b_j|² of single pairs in units of the scale, in float64 from the rows as given; 0 for copies."""
    squares = torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), PAIRS):
        part = slice(start, start + PAIRS)
        squares[part] = (a.rows[i[part]].double() - b.rows[j[part]].double()).square_().sum(1)
    return squares / a.scale**2


def double_tile(a: Cloud, b: Cloud, rows: slice | Int[Tensor, " t"], slack: float = 0.0) -> Float[Tensor, "t m"]:
    """`tile` in float64 from the rows as given, less `slack` (|a_i|² + |b_j|²)."""
    x = (a.rows[rows].double() - a.centre) / a.scale
    norm_x = (1 - slack) * (x**2).sum(1)[:, None]
    distances = x.new_empty(len(x), len(b))
    for start in range(0, len(b), PAIRS):
        columns = slice(start, start + PAIRS)
        y = (b.rows[columns].double() - b.centre) / b.scale
        distances[:, columns] = torch.addmm((1 - slack) * (y**2).sum(1), x, y.T, alpha=-2).add_(norm_x)
    return distances


def inside(
    a: Cloud, b: Cloud, rows: slice, distances: Float[Tensor, "t m"], reach: Float[Tensor, "#t #m"]
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """The pairs (i, j) of a tile with |a_i - b_j|² <= reach, ties included: numbers within the tile.

    distances: `tile(a, b, rows)`.  reach: float64, of the rows (t, 1) or of the columns (1, m), in units of the scale.
    """
    doubt = a.doubt[rows, None].double() + float(b.doubt.max()) if reach.shape[1] == 1 else _over_columns(a, b, rows)
    doubt = doubt + 4 * UNIT * reach
    i, j = (distances <= (reach + doubt).float()).nonzero(as_tuple=True)
    limit, spread = (each.expand_as(distances)[i, j] for each in (reach, doubt))
    unsure = (distances[i, j] > limit - spread).nonzero()[:, 0]
    if len(unsure) * DENSE > distances.numel():
        i, j = (double_tile(a, b, rows, TIE) <= reach).nonzero(as_tuple=True)
        return i, j
    kept = torch.ones(len(i), dtype=torch.bool)
    at_i, at_j = i[unsure] + (rows.start or 0), j[unsure]
    slack = TIE * (a.norms[at_i] + b.norms[at_j]).double()
    kept[unsure] = exact(a, b, at_i, at_j) <= limit[unsure] + slack
    return i[kept], j[kept]


def _over_columns(a: Cloud, b: Cloud, rows: slice) -> Float[Tensor, "1 m"]:
    return b.doubt[None].double() + float(a.doubt[rows].max())
