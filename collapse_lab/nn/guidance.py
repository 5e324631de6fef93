"""Classifier-free guidance: two predictions of one network, with and without the condition, in one batch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from collapse_lab.errors import UserError


def guided(conditional: Tensor, unconditional: Tensor, scale: float | Tensor) -> Tensor:
    """Return eps_uncond + w (eps_cond - eps_uncond).

    Source: arXiv:2207.12598, which writes 1 + w for this w.

    Args:
        conditional: The prediction with the condition.
        unconditional: The prediction without the condition, of the same shape.
        scale: w; 1 is no guidance, and 0 is no condition.
    """
    return unconditional + scale * (conditional - unconditional)


def interval(bounds: Sequence[float]) -> tuple[float, float]:
    """Return the two noise levels between which guidance acts.

    Outside them the conditional prediction alone is used (arXiv:2404.07724, eq. 5, there in sigma).

    Args:
        bounds: Two fractions t / T of the process: 0 is data, 1 is noise.

    Raises:
        UserError: `bounds` is not two numbers with 0 <= low <= high <= 1.
    """
    if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 1:
        raise UserError(
            "model.guidance_interval is [low, high] with 0 <= low <= high <= 1, fractions of the process from data (0) "
            f"to noise (1); got {list(bounds)}"
        )
    return bounds[0], bounds[1]
