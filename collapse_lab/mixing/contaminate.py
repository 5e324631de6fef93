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
from collapse_lab.mixing.turns import Stratify, Turns, check_strata, turns_of
from collapse_lab.types import DrawRequest, Provenance, Share


class Contaminate(RatioPolicy):
    """Draw n rows: exactly round(ratio x n) of the latest generation, and originals for the rest.

    The real rows are drawn anew in each generation. For one seed and one generation, the real rows at a higher ratio
    are among the real rows at a lower ratio.

    If the draw is stratified, the strata take turns among the synthetic rows of each source, and in the opposite order
    among the real rows. So of S strata with enough rows, each gives floor(k / S) or one more of the k rows of a source,
    the same of the real rows, and with one source the same of all n rows. Which strata give one more is random, and
    another draw in every generation. A stratum that has too few rows gives all of them. The strata take turns in
    generation 0 too, unless that trains on all real rows.

    The strata are the prompts (`stratify=True`) or the labels (`stratify="labels"`). A prompt is a label and a caption,
    so a label with more captions than another one gives more rows if prompts are the strata. If labels are, every label
    gives as many rows, and the captions of a label take turns within them.

    Args:
        ratio: the synthetic share of a training set, in [0, 1].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
        stratify: what gives as many rows as every other one, up to one: True is each prompt, "labels" each label, and
            False leaves it to chance.
    """

    def __init__(self, ratio: Share, initial: Initial = None, stratify: Stratify = False) -> None:
        super().__init__(ratio, initial)
        self.stratify = stratify

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of originals and of the latest synthetic rows, n in all."""
        k = synthetic_count(self.ratio, request.n)
        latest = pool.where(pool.born == request.generation - 1)
        check_strata(pool, self.stratify)
        turns = self.turns(pool, request)
        # Backwards among the real rows, so that the strata that give one more of them are others
        back = None if turns is None else turns.backwards
        real = choose(originals(pool, request), request.n - k, request.seeds.child("real"), REAL_ROWS, back, request.n)
        return np.concatenate([real, choose_synthetic(latest, k, request, turns)])

    def turns(self, pool: Provenance, request: DrawRequest) -> Turns | None:
        """Return the order in which prompts or labels take turns; None where the draw is not stratified."""
        return turns_of(pool, request.seeds, self.stratify)
