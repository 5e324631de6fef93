"""Check two feature matrices before any metric compares them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError


def validated_float64(
    x: Float[Tensor, "*x_shape"], y: Float[Tensor, "*y_shape"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Return both feature matrices in float64, checked as `validated` checks them.

    Args:
        x: the first set (n, d), n >= 2.
        y: the second set (m, d), m >= 2.

    Raises:
        UserError: as `validated`.
    """
    x, y = validated(x, y)
    return x.double(), y.double()


def validated(
    x: Float[Tensor, "*x_shape"], y: Float[Tensor, "*y_shape"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Return both feature matrices unchanged, after checking that they can be compared.

    Args:
        x: the first set (n, d), n >= 2.
        y: the second set (m, d), m >= 2, with the same d >= 1.

    Raises:
        UserError: a set that is no matrix, is empty or a single row, holds NaN or infinity, or differs in d.
    """
    for name, values in (("first", x), ("second", y)):
        if values.ndim != 2 or values.shape[1] == 0:
            raise UserError(f"the {name} feature set should have shape (n, d), and has {tuple(values.shape)}")
        if values.shape[0] < 2:
            raise UserError(
                f"the {name} feature set has {values.shape[0]} row(s), and a distribution needs at least 2: "
                "raise n_samples, or leave the prompt set with so few rows out of the measurement"
            )
        # A finite sum needs one pass and no copy, so rows are looked at one by one only where it is not finite
        all_finite = bool(torch.isfinite(values.sum(dtype=torch.float64)))
        bad = 0 if all_finite else int((~torch.isfinite(values)).any(dim=1).sum())
        if bad:
            raise UserError(
                f"{bad} of the {values.shape[0]} rows of the {name} feature set hold NaN or infinity: "
                "the model or the feature extractor has diverged; look at the samples of this generation"
            )
    if x.shape[1] != y.shape[1]:
        raise UserError(f"the feature sets have {x.shape[1]} and {y.shape[1]} dimensions: take both from one extractor")
    return x, y
