"""Classifier-free guidance: two predictions of one network, with and without the condition, in one batch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from collapse_lab.errors import UserError


def guided(conditional: Tensor, unconditional: Tensor, scale: float | Tensor) -> Tensor:
    """eps_uncond + w (eps_cond - eps_uncond): w = 1 is no guidance, w = 0 no condition (arXiv:2207.12598, which
    writes 1 + w for this w).
    """
    return unconditional + scale * (conditional - unconditional)


def interval(bounds: Sequence[float]) -> tuple[float, float]:
    """The two noise levels between which guidance acts, as fractions t / T of the process: 0 is data, 1 is noise.

    Outside them the conditional prediction alone is used (arXiv:2404.07724, eq. 5, there in sigma).

    Raises:
        UserError: not two numbers with 0 <= low <= high <= 1.
    """
    if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 1:
        raise UserError(
            "model.guidance_interval is [low, high] with 0 <= low <= high <= 1, fractions of the process from data (0) "
            f"to noise (1); got {list(bounds)}"
        )
    return bounds[0], bounds[1]
