"""Contaminate: a fixed synthetic share of a training set of fixed size."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.base import (
    Policy,
    Request,
    check_share,
    choose,
    choose_synthetic,
    originals,
    synthetic_count,
)
from collapse_lab.pool import Provenance


class Contaminate(Policy):
    """n rows, of which exactly round(ratio x n) are of the latest generation and the rest originals.

    The real rows are drawn anew in each generation; for one seed and generation those of a higher ratio are among
    those of a lower one.
    """

    def __init__(self, ratio: float, initial: int | str | None = None) -> None:
        super().__init__(initial)
        check_share("ratio", ratio)
        self.ratio = ratio

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        k = synthetic_count(self.ratio, request.n)
        latest = pool.where(pool.born == request.generation - 1)
        real = choose(originals(pool, request), request.n - k, request.seeds.child("real"), "real rows")
        return np.concatenate([real, choose_synthetic(latest, k, request)])
