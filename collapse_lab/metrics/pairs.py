"""What every comparison of two feature matrices asks of them first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError


def checked(
    x: Float[Tensor, "*x_shape"], y: Float[Tensor, "*y_shape"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """`valid` in float64."""
    x, y = valid(x, y)
    return x.double(), y.double()


def valid(
    x: Float[Tensor, "*x_shape"], y: Float[Tensor, "*y_shape"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """(x, y), once both are fit to be compared.

    Shapes: x (n, d) and y (m, d) with n, m >= 2 and the same d >= 1.

    Raises:
        UserError: a set that is no matrix, is empty or a single row, holds NaN or infinity, or differs in d.
    """
    for name, values in (("first", x), ("second", y)):
        if values.ndim != 2 or values.shape[1] == 0:
            raise UserError(f"the {name} feature set should have shape (n, d), and has {tuple(values.shape)}")
        if values.shape[0] < 2:
            raise UserError(
                f"the {name} feature set has {values.shape[0]} row(s), and a distribution needs at least 2: "
                "raise n_samples, or take the subset with so few rows out of the measurement"
            )
        # One pass and no copy where all is well
        all_finite = bool(torch.isfinite(values.sum(dtype=torch.float64)))
        bad = 0 if all_finite else int((~torch.isfinite(values)).any(dim=1).sum())
        if bad:
            raise UserError(
                f"{bad} of the {values.shape[0]} rows of the {name} feature set hold NaN or infinity: "
                "the samples or the extractor behind them have diverged"
            )
    if x.shape[1] != y.shape[1]:
        raise UserError(f"the feature sets have {x.shape[1]} and {y.shape[1]} dimensions: take both from one extractor")
    return x, y
