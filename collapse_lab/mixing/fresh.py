"""Fresh: every generation sees real rows that none before it has seen."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import RatioPolicy, Request, choose_synthetic, synthetic_count
from collapse_lab.sizes import Sizes


class Fresh(RatioPolicy):
    """n rows: round(ratio x n) of the latest generation, the rest real rows never used before (2307.01850).

    Never used by this policy at this ratio: phases of unlike ratios in one chain may deal a real row twice.
    """

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        before, needed = (
            self._dealt(request.sizes, generation) for generation in (request.generation - 1, request.generation)
        )
        real = pool.real
        unused = real.ids[real.eligible & ~np.isin(real.ids, request.originals)]
        if needed > len(unused):
            raise UserError(
                f"generation {request.generation} of mixing=fresh would be the one to exhaust the real rows: it needs "
                f"{needed} beyond those of generation 0 and there are {len(unused)}; lower n_train, "
                "generations or mixing.initial, or take a larger data set"
            )
        # One permutation for the whole chain, dealt out slice by slice, so no row comes up twice
        place = request.seeds
        order = unused[Seeds(place.seed, 0, place.model, "mix/fresh").numpy().permutation(len(unused))]
        k = synthetic_count(self.ratio, request.n)
        synthetic = choose_synthetic(pool.where(pool.born == request.generation - 1), k, request)
        return np.concatenate([order[before:needed], synthetic])

    def _dealt(self, sizes: Sizes, generation: int) -> int:
        """Real rows beyond those of generation 0 that generations up to this one take."""
        if isinstance(sizes, int):
            return generation * (sizes - synthetic_count(self.ratio, sizes))
        return sum(n - synthetic_count(self.ratio, n) for n in sizes[1 : generation + 1])
