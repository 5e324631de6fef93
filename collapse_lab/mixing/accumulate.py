"""Accumulate: nothing is ever thrown away, and the training set grows."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.mixing.base import Policy, Request, originals


class Accumulate(Policy):
    """All originals, and every synthetic row so far of the sources that the model is exposed to (2404.01413)."""

    horizon = None

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        return accumulated(pool, request)


def accumulated(pool: Provenance, request: Request) -> np.ndarray:
    """Ids of everything that has been available to this model so far, real rows first."""
    sources = [source for source, share in request.exposure.items() if share > 0]
    synthetic = pool.where(np.isin(pool.source, sources))
    return np.concatenate([originals(pool, request), synthetic.ids])
