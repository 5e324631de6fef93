"""Accumulate-subsample: everything so far is kept, and a fixed number of rows drawn from it."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.mixing.accumulate import accumulated
from collapse_lab.mixing.base import Policy, Request, choose


class AccumulateSubsample(Policy):
    """n rows drawn evenly from all that has accumulated (2410.16713): the real share falls as 1/generation."""

    horizon = None

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        return choose(accumulated(pool, request), request.n, request.seeds.child("subsample"), "accumulated rows")
