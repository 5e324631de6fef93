"""Turn rows into directions, for metrics that depend on angles alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def directions(*sets: Float[Tensor, "_ d"]) -> tuple[Float[Tensor, "_ e"], ...]:
    """Return x_i / |x_i| for each row of each set.

    A row of zeros has no direction; among pixels, a black image is such a row. It is given a direction of its own in
    one further dimension, so it equals other rows of zeros and is at right angles to every other row.

    Args:
        sets: matrices (n, d), with the same d.

    Returns:
        One matrix (n, d) for each set, or (n, d + 1) where some row of some set is zero.
    """
    norms = [torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in sets]
    units = tuple(x / torch.where(norm > 0, norm, 1.0) for x, norm in zip(sets, norms, strict=True))
    if all(bool((norm > 0).all()) for norm in norms):
        return units
    return tuple(torch.cat([unit, (norm == 0).to(unit)], dim=1) for unit, norm in zip(units, norms, strict=True))
