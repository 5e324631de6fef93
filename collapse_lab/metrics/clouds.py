"""Compute squared distances in single precision with a bound on their error, and exact ones where it is too large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

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

Rows = slice | Int[Tensor, " _"]  # which rows of a cloud
EVERY = slice(None)


@dataclass(frozen=True)
class Cloud:
    """Hold rows made ready for distances; all distances are in units of the squared `scale`.

    Attributes:
        rows: the rows as given, (n, d).
        near: (rows - centre) / scale, (n, d), in float32, or in float64 where some rows are.
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

    def take(self, index: Int[Tensor, " p"]) -> Cloud:
        """Return some of the rows as a cloud, with the same centre and scale."""
        parts = (self.rows[index], self.near[index], self.norms[index], self.doubt[index])
        return Cloud(*parts, self.centre, self.scale)


def clouds(*sets: Float[Tensor, "_ d"]) -> list[Cloud]:
    """Return a cloud for each set, all around one centre and at a scale at which the mean squared norm is 1/4 to 1."""
    total = sum(len(rows) for rows in sets)
    centre = torch.stack([rows.sum(0, dtype=torch.float64) for rows in sets]).sum(0) / total
    precision = reduce(torch.promote_types, [rows.dtype for rows in sets], torch.float32)
    centred = [_centred(rows, centre, precision) for rows in sets]
    spread = float(torch.cat([squares for _, squares in centred]).mean()) ** 0.5
    # Dividing by a power of two rounds nothing, so the rows are as precise as before
    scale = math.ldexp(1.0, math.frexp(spread)[1])
    return [_cloud(rows, *of_rows, centre, scale) for rows, of_rows in zip(sets, centred, strict=True)]


def beside(cloud: Cloud, rows: Float[Tensor, "n d"]) -> Cloud:
    """Return a cloud of further rows, around the centre and at the scale of a given one."""
    return _cloud(rows, *_centred(rows, cloud.centre, cloud.near.dtype), cloud.centre, cloud.scale)


def _cloud(
    rows: Float[Tensor, "n d"],
    near: Float[Tensor, "n d"],
    squares: Float[Tensor, " n"],
    centre: Float[Tensor, " d"],
    scale: float,
) -> Cloud:
    norms = squares / scale**2
    # Rounding errors of random sign add up to sqrt(d) u |a||b| in the worst order of summation (Higham and Mary,
    # SIAM Journal on Scientific Computing 41, 2019). The errors that we observe are at most 9 u (|a|² + |b|²)
    # for every d, which is a quarter of this bound or less (tests/metrics/test_clouds.py).
    doubt = UNIT * (rows.shape[1] ** 0.5 + 32) * norms
    return Cloud(rows, near.div_(scale), norms.to(near.dtype), doubt.to(near.dtype), centre, scale)


def _centred(
    rows: Float[Tensor, "n d"], centre: Float[Tensor, " d"], precision: torch.dtype
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Return the rows less the centre (n, d) in some precision, and their squared norms (n,) in float64."""
    near = torch.empty(rows.shape, dtype=precision, device=rows.device)
    squares = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), PAIRS):
        chunk = slice(start, start + PAIRS)
        moved = rows[chunk].double() - centre
        near[chunk], squares[chunk] = moved, (moved**2).sum(1)
    return near, squares


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
    squares = torch.empty(len(i), dtype=torch.float64, device=i.device)
    for start in range(0, len(i), PAIRS):
        chunk = slice(start, start + PAIRS)
        squares[chunk] = (a.rows[i[chunk]].double() - b.rows[j[chunk]].double()).square_().sum(1)
    return squares / a.scale**2


def double_tile(a: Cloud, b: Cloud, rows: Rows, slack: float = 0.0, columns: Rows = EVERY) -> Float[Tensor, "t m"]:
    """Return |a_i - b_j|² of a tile, in float64 from the rows as given, less `slack` (|a_i|² + |b_j|²).

    Args:
        a: the cloud of the rows i.
        b: the cloud of the columns j.
        rows: which rows of a.
        slack: the share of the squared norms that is subtracted, so that ties count as within a limit.
        columns: which rows of b.
    """
    x, of_b = (a.rows[rows].double() - a.centre) / a.scale, b.rows[columns]
    norm_x = (1 - slack) * (x**2).sum(1)[:, None]
    distances = x.new_empty(len(x), len(of_b))
    for start in range(0, len(of_b), PAIRS):
        chunk = slice(start, start + PAIRS)
        y = (of_b[chunk].double() - b.centre) / b.scale
        distances[:, chunk] = torch.addmm((1 - slack) * (y**2).sum(1), x, y.T, alpha=-2).add_(norm_x)
    return distances


def pairs_within(
    a: Cloud,
    b: Cloud,
    rows: Rows,
    distances: Float[Tensor, "t m"],
    reach: Float[Tensor, "#t #m"],
    columns: Rows = EVERY,
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Return the pairs (i, j) of a tile with |a_i - b_j|² <= reach, ties included.

    Args:
        a: the cloud of the rows i.
        b: the cloud of the columns j.
        rows: which rows of a the tile holds.
        distances: |a_i - b_j|² of the tile, in the precision of `near` (`tiles.Tile.distances`).
        reach: squared radii in float64, of the rows (t, 1) or of the columns (1, m), in units of the squared scale.
        columns: which rows of b the tile holds.

    Returns:
        Row and column numbers within the tile.
    """
    of_a, of_b = a.doubt[rows], b.doubt[columns]
    doubt = (of_a[:, None] + of_b.max() if reach.shape[1] == 1 else of_b[None] + of_a.max()).double()
    doubt = doubt + 4 * UNIT * reach
    i, j = (distances <= (reach + doubt).to(distances.dtype)).nonzero(as_tuple=True)
    limit, spread = (values.expand_as(distances)[i, j] for values in (reach, doubt))
    unsure = (distances[i, j] > limit - spread).nonzero()[:, 0]
    if len(unsure) * DENSE > distances.numel():
        i, j = (double_tile(a, b, rows, TIE, columns) <= reach).nonzero(as_tuple=True)
        return i, j
    kept = torch.ones(len(i), dtype=torch.bool, device=i.device)
    unsure_i, unsure_j = _numbers(a, rows)[i[unsure]], _numbers(b, columns)[j[unsure]]
    slack = TIE * (a.norms[unsure_i] + b.norms[unsure_j]).double()
    kept[unsure] = exact(a, b, unsure_i, unsure_j) <= limit[unsure] + slack
    return i[kept], j[kept]


def _numbers(cloud: Cloud, rows: Rows) -> Int[Tensor, " t"]:
    return torch.arange(len(cloud), device=cloud.near.device)[rows]
