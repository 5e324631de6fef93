"""Train on real rows that no generation before has trained on, and on synthetic rows."""

from __future__ import annotations

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.mixing.base import RatioPolicy, choose_synthetic, synthetic_count
from collapse_lab.seeds import Seeds
from collapse_lab.sizes import Sizes
from collapse_lab.types import DrawRequest, Provenance


class Fresh(RatioPolicy):
    """Draw n rows: round(ratio x n) of the latest generation, and never-used real rows for the rest.

    This is the fresh data loop of arXiv:2307.01850. "Never used" means by this policy at this ratio: phases of
    different ratios in one chain may use a real row twice.

    Args:
        ratio: the synthetic share of a training set, in [0, 1].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of never-used real rows and of the latest synthetic rows, n in all."""
        before = self._used(request.sizes, request.generation - 1)
        needed = self._used(request.sizes, request.generation)
        real = pool.real
        unused = real.ids[real.eligible & ~np.isin(real.ids, request.originals)]
        if needed > len(unused):
            raise UserError(
                f"generation {request.generation} of mixing=fresh would be the one to exhaust the real rows: it needs "
                f"{needed} beyond those of generation 0 and there are {len(unused)}; lower n_train, "
                "generations or mixing.initial, or take a larger data set"
            )
        # Every generation takes the next slice of one permutation for the whole chain, so no row is used twice
        seeds = request.seeds
        order = unused[Seeds(seeds.seed, 0, seeds.model, "mix/fresh").numpy().permutation(len(unused))]
        k = synthetic_count(self.ratio, request.n)
        synthetic = choose_synthetic(pool.where(pool.born == request.generation - 1), k, request)
        return np.concatenate([order[before:needed], synthetic])

    def _used(self, sizes: Sizes, generation: int) -> int:
        """Return how many real rows generations 1 to `generation` use, beyond the real rows of generation 0."""
        if isinstance(sizes, int):
            return generation * (sizes - synthetic_count(self.ratio, sizes))
        return sum(n - synthetic_count(self.ratio, n) for n in sizes[1 : generation + 1])
