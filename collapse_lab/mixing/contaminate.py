"""Contaminate: a fixed synthetic share of a training set of fixed size."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.mixing.base import (
    RatioPolicy,
    Request,
    choose,
    choose_synthetic,
    originals,
    synthetic_count,
)


class Contaminate(RatioPolicy):
    """n rows, of which exactly round(ratio x n) are of the latest generation and the rest originals.

    The real rows are drawn anew in each generation; for one seed and generation those of a higher ratio are among
    those of a lower one.
    """

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        k = synthetic_count(self.ratio, request.n)
        latest = pool.where(pool.born == request.generation - 1)
        real = choose(originals(pool, request), request.n - k, request.seeds.child("real"), "real rows")
        return np.concatenate([real, choose_synthetic(latest, k, request)])
