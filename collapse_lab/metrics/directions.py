"""Rows as directions, for metrics that look at angles alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def directions(*sets: Float[Tensor, "_ d"]) -> tuple[Float[Tensor, "_ e"], ...]:
    """x_i / |x_i| of each row of each set.

    Shapes: (n, d) in; (n, d) out, or (n, d + 1) where some row of some set is zero.

    A row of zeros (a black image is one, among pixels) has no direction. It is given one of its own, in a further
    dimension: alike to other rows of zeros, at right angles to everything else.
    """
    norms = [torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in sets]
    units = tuple(x / torch.where(norm > 0, norm, 1.0) for x, norm in zip(sets, norms, strict=True))
    if all(bool((norm > 0).all()) for norm in norms):
        return units
    return tuple(torch.cat([unit, (norm == 0).to(unit)], dim=1) for unit, norm in zip(units, norms, strict=True))
