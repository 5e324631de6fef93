"""Train on a fixed number of rows, drawn from everything so far."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.accumulate import accumulated
from collapse_lab.mixing.base import Policy, choose
from collapse_lab.types import DrawRequest, Provenance


class AccumulateSubsample(Policy):
    """Draw n rows evenly from everything so far, so the real share falls as 1/generation (arXiv:2410.16713).

    Args:
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    horizon = None

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of n rows out of everything so far."""
        return choose(accumulated(pool, request), request.n, request.seeds.child("subsample"), "accumulated rows")
