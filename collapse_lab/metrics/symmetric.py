"""Compute symmetric products and quadratic forms in float64, of which one half is computed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

PANEL = 384  # columns of one panel: narrower ones are slower, and wider ones compute more of the other half
CHUNK = 2048  # rows that are held in float64 at a time


def centred_chunks(
    rows: Float[Tensor, "n d"], mean: Float[Tensor, " d"] | float
) -> Iterator[tuple[slice, Float[Tensor, "c d"]]]:
    """Yield rows less their mean in float64, some at a time, with the numbers of these rows."""
    for start in range(0, len(rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield chunk, rows[chunk].double() - mean


def scatter(rows: Float[Tensor, "n d"], mean: Float[Tensor, " d"] | float = 0.0) -> Float[Tensor, "d d"]:
    """Return the sum of (x_i - mean) (x_i - mean)ᵀ in float64; only the lower triangle is to be read."""
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for _, centred in centred_chunks(rows, mean):
        add_product(total, centred.T, centred.T)
    return total


def add_product(total: Float[Tensor, "d d"], a: Float[Tensor, "d r"], b: Float[Tensor, "d r"]) -> None:
    """Add the lower triangle of a bᵀ, which has to be symmetric, to `total`; its upper triangle becomes anything."""
    for start in range(0, len(total), PANEL):
        panel = slice(start, start + PANEL)
        total[start:, panel] += a[start:] @ b[panel].T


def forms(
    rows: Float[Tensor, "n d"],
    mean: Float[Tensor, " d"] | float,
    matrix: Float[Tensor, "d d"],
    slope: Float[Tensor, " d"] | None = None,
) -> Float[Tensor, " n"]:
    """Return (x_i - mean)ᵀ A (x_i - mean) + slope · (x_i - mean) of each row in float64.

    Args:
        rows: the rows x_i.
        mean: what is subtracted from each of them.
        matrix: a symmetric A, of which only the lower triangle is read.
        slope: the linear part; None means none.
    """
    lower = 2 * matrix.tril(-1)
    lower.diagonal().copy_(matrix.diagonal())
    result = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for chunk, centred in centred_chunks(rows, mean):
        if slope is not None:
            result[chunk] = centred @ slope
        for start in range(0, len(lower), PANEL):
            panel = slice(start, start + PANEL)
            result[chunk] += (centred[:, start:] @ lower[start:, panel]).mul_(centred[:, panel]).sum(1)
    return result


def times_lower(lower: Float[Tensor, "d d"], b: Float[Tensor, "d r"]) -> Float[Tensor, "d r"]:
    """Return L B for a lower triangular L."""
    result = b.new_empty(len(lower), b.shape[1])
    for start in range(0, len(lower), PANEL):
        stop = min(start + PANEL, len(lower))
        result[start:stop] = lower[start:stop, :stop] @ b[:stop]
    return result


def congruent(matrix: Float[Tensor, "d d"], lower: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Return Lᵀ A L for a symmetric A and a lower triangular L; only the lower triangle of the result is to be read.

    Args:
        matrix: A, of which only the lower triangle is read.
        lower: L.
    """
    full = matrix.tril() + matrix.tril(-1).T
    product, result = torch.empty_like(full), torch.empty_like(full)
    for start in range(0, len(full), PANEL):
        panel = slice(start, start + PANEL)
        product[:, panel] = full[:, start:] @ lower[start:, panel]
    for start in range(0, len(full), PANEL):
        stop = min(start + PANEL, len(full))
        result[start:stop, :stop] = lower[start:, start:stop].T @ product[start:, :stop]
    return result
