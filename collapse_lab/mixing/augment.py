"""Train on all real rows and on synthetic rows beside them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Initial, Policy, choose_synthetic, originals, smallest_ratio
from collapse_lab.types import DrawRequest, Provenance


class Augment(Policy):
    """Draw all m originals and round(lam x m) rows of the latest generation: a share lam / (1 + lam) is synthetic.

    This is the synthetic-augmentation loop of arXiv:2307.01850. It is also the loop of arXiv:2310.00429, and lam is
    the lambda of that paper.

    Args:
        lam: the number of synthetic rows per real row, in [0, 1e6].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    def __init__(self, lam: Annotated[float, Ge(0), Le(1e6)], initial: Initial = None) -> None:
        super().__init__(initial)
        self.lam = lam

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of all originals and of the latest synthetic rows."""
        real = originals(pool, request)
        k = round(self.lam * len(real))
        if self.lam > 0 and k == 0 and len(real) > 0:
            raise UserError(
                f"mixing.lam={self.lam} of {len(real)} real rows rounds to no synthetic row; the smallest that works "
                f"is {smallest_ratio(len(real)):g}"
            )
        return np.concatenate([real.ids, choose_synthetic(pool.where(pool.born == request.generation - 1), k, request)])
