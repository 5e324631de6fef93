"""Replace: each generation trains on the one before it, and on nothing else."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.mixing.base import Policy, Request, choose_synthetic


class Replace(Policy):
    """n rows of the latest generation (the fully synthetic loop of arXiv:2307.01850; `replace` of 2404.01413)."""

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        return choose_synthetic(pool.where(pool.born == request.generation - 1), request.n, request)
