"""Augment: all real rows, and synthetic ones beside them."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Policy, Request, choose_synthetic, originals, smallest_ratio


class Augment(Policy):
    """All m originals and round(lam x m) rows of the latest generation: a share of lam / (1 + lam) is synthetic.

    The synthetic-augmentation loop of arXiv:2307.01850, and of 2310.00429 whose lambda this is.
    """

    def __init__(self, lam: float, initial: int | str | None = None) -> None:
        super().__init__(initial)
        if lam < 0:
            raise UserError(f"mixing.lam is the number of synthetic rows per real row, 0 or more; got {lam}")
        self.lam = lam

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        real = originals(pool, request)
        k = round(self.lam * len(real))
        if self.lam > 0 and k == 0 and len(real) > 0:
            raise UserError(
                f"mixing.lam={self.lam} of {len(real)} real rows rounds to no synthetic row; the smallest that works "
                f"is {smallest_ratio(len(real)):g}"
            )
        return np.concatenate([real, choose_synthetic(pool.where(pool.born == request.generation - 1), k, request)])
