"""Train on a set of fixed size with a fixed synthetic share."""

from __future__ import annotations

import numpy as np

from collapse_lab.mixing.base import (
    REAL_ROWS,
    Initial,
    RatioPolicy,
    choose,
    choose_synthetic,
    originals,
    synthetic_count,
)
from collapse_lab.mixing.turns import order_of_turns
from collapse_lab.types import DrawRequest, Provenance, Share


class Contaminate(RatioPolicy):
    """Draw n rows: exactly round(ratio x n) of the latest generation, and originals for the rest.

    The real rows are drawn anew in each generation. For one seed and one generation, the real rows at a higher ratio
    are among the real rows at a lower ratio.

    If the draw is stratified, the prompts (label and caption) take turns among the synthetic rows of each source, and
    in the opposite order among the real rows. So of S prompts with enough rows, each gives floor(k / S) or one more of
    the k rows of a source, the same of the real rows, and with one source the same of all n rows. Which prompts give
    one more is random, and another draw in every generation. A prompt that has too few rows gives all of them.

    Args:
        ratio: the synthetic share of a training set, in [0, 1].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
        stratify: whether every prompt gives as many rows as the others, up to one.
    """

    def __init__(self, ratio: Share, initial: Initial = None, stratify: bool = False) -> None:
        super().__init__(ratio, initial)
        self.stratify = stratify

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of originals and of the latest synthetic rows, n in all."""
        k = synthetic_count(self.ratio, request.n)
        latest = pool.where(pool.born == request.generation - 1)
        turns = order_of_turns(pool, request.seeds) if self.stratify else None
        # Backwards among the real rows, so that the prompts that give one more of them are others
        back = None if turns is None else turns[::-1]
        real = choose(originals(pool, request), request.n - k, request.seeds.child("real"), REAL_ROWS, back, request.n)
        return np.concatenate([real, choose_synthetic(latest, k, request, turns)])
