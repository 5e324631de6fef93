"""Train on everything so far: no row is ever left out, and the training set grows."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.base import Policy, is_original
from collapse_lab.types import DrawRequest, Provenance


class Accumulate(Policy):
    """Draw all originals and every synthetic row so far of the sources that the model is exposed to.

    This is `accumulate` of arXiv:2404.01413.

    Args:
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    horizon = None

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of everything so far."""
        return accumulated(pool, request).ids


def accumulated(pool: Provenance, request: DrawRequest) -> Provenance:
    """Return all rows that this model could have trained on so far, real rows first.

    Args:
        pool: the provenance of all rows so far.
        request: the model is exposed to the sources whose share in `request.exposure` is positive.
    """
    sources = [source for source, share in request.exposure.items() if share > 0]
    return pool.where(is_original(pool, request) | np.isin(pool.source, sources))
