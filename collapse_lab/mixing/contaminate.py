"""Train on a set of fixed size with a fixed synthetic share."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.base import RatioPolicy, choose, choose_synthetic, originals, synthetic_count
from collapse_lab.types import DrawRequest, Provenance


class Contaminate(RatioPolicy):
    """Draw n rows: exactly round(ratio x n) of the latest generation, and originals for the rest.

    The real rows are drawn anew in each generation. For one seed and one generation, the real rows at a higher ratio
    are among the real rows at a lower ratio.

    Args:
        ratio: the synthetic share of a training set, in [0, 1].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of originals and of the latest synthetic rows, n in all."""
        k = synthetic_count(self.ratio, request.n)
        latest = pool.where(pool.born == request.generation - 1)
        real = choose(originals(pool, request), request.n - k, request.seeds.child("real"), "real rows")
        return np.concatenate([real, choose_synthetic(latest, k, request)])
