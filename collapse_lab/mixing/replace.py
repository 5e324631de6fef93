"""Train on the rows of the generation before, and on nothing else."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.base import Policy, choose_synthetic
from collapse_lab.types import DrawRequest, Provenance


class Replace(Policy):
    """Draw n synthetic rows of the latest generation.

    This is the fully synthetic loop of arXiv:2307.01850 and `replace` of arXiv:2404.01413.

    Args:
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of n synthetic rows of the latest generation."""
        return choose_synthetic(pool.where(pool.born == request.generation - 1), request.n, request)
