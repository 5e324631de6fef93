"""Compute squared distances in single precision with a bound on their error, and exact ones where it is too large."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

UNIT = 2.0**-24  # the unit of rounding in float32
# Distances in double precision that differ by less than this share of the squared norms count as ties. The share lies
# far above the rounding of inner products, and far below what two float32 features can differ by.
TIE = 1e-12
# Where one pair in so many is in doubt, computing the whole tile in double precision is cheaper than pair by pair
DENSE = 16
PAIRS = 512  # how many pairs are compared exactly at a time


@dataclass(frozen=True)
class Cloud:
    """Hold rows made ready for distances; all distances are in units of the squared `scale`.

    Attributes:
        rows: the rows as given, (n, d).
        near: (rows - centre) / scale in float32, (n, d).
        norms: |near_i|², (n,).
        doubt: the squared distance of i and j computed from `near` has an error below doubt_i + doubt_j; (n,).
        centre: the common centre, (d,).
        scale: the common scale.
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
    """Return a cloud for each set, all around one centre and at the scale at which the mean squared norm is 1."""
    total = sum(len(rows) for rows in sets)
    centre = torch.stack([rows.sum(0, dtype=torch.float64) for rows in sets]).sum(0) / total
    centred = [_centred(rows, centre) for rows in sets]
    scale = float(torch.cat([squares for _, squares in centred]).mean()) ** 0.5 or 1.0
    result = []
    for rows, (near, squares) in zip(sets, centred, strict=True):
        norms = squares / scale**2
        # Rounding errors of random sign add up to sqrt(d) u |a||b| in the worst order of summation (Higham and Mary,
        # SIAM Journal on Scientific Computing 41, 2019). The errors that we observed are at most 9 u (|a|² + |b|²)
        # for every d, which is a quarter of this bound or less (tests/metrics/test_clouds.py).
        doubt = UNIT * (rows.shape[1] ** 0.5 + 32) * norms
        result.append(Cloud(rows, near.div_(scale), norms.float(), doubt.float(), centre, scale))
    return result


def _centred(rows: Float[Tensor, "n d"], centre: Float[Tensor, " d"]) -> tuple[Tensor, Tensor]:
    """Return the rows less the centre (n, d) in float32, and their squared norms (n,) in float64."""
    near, squares = torch.empty(rows.shape, dtype=torch.float32), torch.empty(len(rows), dtype=torch.float64)
    for start in range(0, len(rows), PAIRS):
        chunk = slice(start, start + PAIRS)
        moved = rows[chunk].double() - centre
        near[chunk], squares[chunk] = moved, (moved**2).sum(1)
    return near, squares


def tile(a: Cloud, b: Cloud, rows: slice, columns: slice = slice(None)) -> Float[Tensor, "t m"]:
    """Return |a_i - b_j|² of some rows of either, in units of the squared scale, in float32.

    Args:
        a: the cloud of the rows i.
        b: the cloud of the columns j.
        rows: which rows of a.
        columns: which rows of b.
    """
    distances = torch.addmm(b.norms[columns], a.near[rows], b.near[columns].T, alpha=-2)
    return distances.add_(a.norms[rows, None])


def exact(a: Cloud, b: Cloud, i: Int[Tensor, " p"], j: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Return |a_i - b_j|² of single pairs, in float64 from the rows as given; copies are at distance 0.

    Args:
        a: the cloud of the rows i.
        b: the cloud of the rows j.
        i: row numbers in a.
        j: row numbers in b.

    Returns:
        Squared distances (p,) in units of the squared scale.
    """
    squares = torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), PAIRS):
        chunk = slice(start, start + PAIRS)
        squares[chunk] = (a.rows[i[chunk]].double() - b.rows[j[chunk]].double()).square_().sum(1)
    return squares / a.scale**2


def double_tile(a: Cloud, b: Cloud, rows: slice | Int[Tensor, " t"], slack: float = 0.0) -> Float[Tensor, "t m"]:
    """Return what `tile` returns, in float64 from the rows as given, less `slack` (|a_i|² + |b_j|²).

    Args:
        a: the cloud of the rows i.
        b: the cloud of the columns j, of which all are taken.
        rows: which rows of a.
        slack: the share of the squared norms that is subtracted, so that ties count as within a limit.
    """
    x = (a.rows[rows].double() - a.centre) / a.scale
    norm_x = (1 - slack) * (x**2).sum(1)[:, None]
    distances = x.new_empty(len(x), len(b))
    for start in range(0, len(b), PAIRS):
        columns = slice(start, start + PAIRS)
        y = (b.rows[columns].double() - b.centre) / b.scale
        distances[:, columns] = torch.addmm((1 - slack) * (y**2).sum(1), x, y.T, alpha=-2).add_(norm_x)
    return distances


def pairs_within(
    a: Cloud, b: Cloud, rows: slice, distances: Float[Tensor, "t m"], reach: Float[Tensor, "#t #m"]
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Return the pairs (i, j) of a tile with |a_i - b_j|² <= reach, ties included.

    Args:
        a: the cloud of the rows i.
        b: the cloud of the columns j.
        rows: which rows of a the tile holds.
        distances: `tile(a, b, rows)`.
        reach: squared radii in float64, of the rows (t, 1) or of the columns (1, m), in units of the squared scale.

    Returns:
        Row and column numbers within the tile.
    """
    doubt = a.doubt[rows, None].double() + float(b.doubt.max()) if reach.shape[1] == 1 else _column_doubt(a, b, rows)
    doubt = doubt + 4 * UNIT * reach
    i, j = (distances <= (reach + doubt).float()).nonzero(as_tuple=True)
    limit, spread = (values.expand_as(distances)[i, j] for values in (reach, doubt))
    unsure = (distances[i, j] > limit - spread).nonzero()[:, 0]
    if len(unsure) * DENSE > distances.numel():
        i, j = (double_tile(a, b, rows, TIE) <= reach).nonzero(as_tuple=True)
        return i, j
    kept = torch.ones(len(i), dtype=torch.bool)
    unsure_i, unsure_j = i[unsure] + (rows.start or 0), j[unsure]
    slack = TIE * (a.norms[unsure_i] + b.norms[unsure_j]).double()
    kept[unsure] = exact(a, b, unsure_i, unsure_j) <= limit[unsure] + slack
    return i[kept], j[kept]


def _column_doubt(a: Cloud, b: Cloud, rows: slice) -> Float[Tensor, "1 m"]:
    return b.doubt[None].double() + float(a.doubt[rows].max())
