"""Train on rows of the latest generation, of the training set before, and of the original real rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Initial, Policy, apportion, choose, choose_synthetic, is_original
from collapse_lab.types import REAL, DrawRequest, Provenance, Share

LATEST, PREVIOUS, ORIGINAL = 0, 1, 2


class Parts(NamedTuple):
    """Hold how many rows of a training set come from where.

    Attributes:
        latest: rows that the generation before has sampled.
        kept_real: real rows of the training set before.
        kept_synthetic: synthetic rows of the training set before.
        drawn: original real rows beside those that are kept.
    """

    latest: int
    kept_real: int
    kept_synthetic: int
    drawn: int


@dataclass(frozen=True)
class Past:
    """Hold a training set, and all that it follows from.

    Attributes:
        pool: the pool that it was drawn from.
        request: the request that it was drawn for.
        ids: its rows.
    """

    pool: Provenance
    request: DrawRequest
    ids: np.ndarray

    def leads_to(self, pool: Provenance, request: DrawRequest) -> bool:
        """Return whether the set of a later request comes after this one in the same chain."""
        mine, other = self.request, request
        same = (mine.seeds.seed, mine.seeds.model, mine.seeds.role, mine.sizes, mine.exposure) == (
            *(other.seeds.seed, other.seeds.model, other.seeds.role, other.sizes, other.exposure),
        )
        if not same or mine.generation >= other.generation or len(self.pool) > len(pool):
            return False
        names = [field.name for field in fields(Provenance)]
        pairs = [(getattr(self.pool, name), getattr(pool, name)[: len(self.pool)]) for name in names]
        return all(np.array_equal(one, two) for one, two in [*pairs, (mine.originals, other.originals)])


class Blend(Policy):
    """Draw α n latest synthetic rows, β n rows of the previous training set, and γ n original real rows.

    This is the process p_{i+1} = α p_θ + β p_i + γ p_0 of arXiv:2305.17493 for data that are kept: the share β are rows
    that the generation before was trained on. Counts are exact, by largest remainders. The rows that are kept hold real
    and synthetic ones as the set before did, each kind drawn evenly. The original rows are drawn evenly from those that
    are not kept, so that no row stands in a set twice. α = 1 is `replace`, and β = 0 is `contaminate`.

    A training set follows from all those before it. A policy that has just drawn the set before goes on from there, and
    another one draws all of them again, so the result depends on the request and the pool alone.

    Args:
        latest: α, the share of rows of the latest generation.
        previous: β, the share of rows of the previous training set.
        original: γ, the share of original real rows; the three shares sum to 1.
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.

    Raises:
        UserError: the shares do not sum to 1.

    Source: arXiv:2305.17493, theoretical intuition. Its theory has β = γ = 0.
    """

    horizon = None

    def __init__(self, latest: Share, previous: Share, original: Share, initial: Initial = None) -> None:
        super().__init__(initial)
        total = latest + previous + original
        if abs(total - 1) > 1e-9:
            rest = 1 - latest - previous
            mend = f"give mixing.original={rest:.6g}" if rest >= 0 else "lower mixing.latest or mixing.previous"
            raise UserError(
                "mixing.latest + mixing.previous + mixing.original are shares of a training set and sum to 1; got "
                f"{latest:g} + {previous:g} + {original:g} = {total:g}: {mend}"
            )
        self.shares = {LATEST: latest, PREVIOUS: previous, ORIGINAL: original}
        self._past: dict[str, Past] = {}

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of the training set."""
        born = np.where(pool.source == REAL, -1, pool.born)
        order = np.argsort(born, kind="stable")
        starts = np.searchsorted(born[order], np.arange(request.generation + 1))
        real = pool.where(is_original(pool, request))
        past = self._past.get(request.seeds.model)
        first, ids = 1, real.ids
        if past is not None and past.leads_to(pool, request):
            first, ids = past.request.generation + 1, past.ids
        for generation in range(first, request.generation + 1):
            latest = pool.where(order[starts[generation - 1] : starts[generation]])
            before = pool.where(np.searchsorted(pool.ids, ids))  # because the ids of a pool rise
            seeds = replace(request.seeds, generation=generation)
            ids = self._draw(latest, before, real, replace(request, generation=generation, seeds=seeds))
        self._past[request.seeds.model] = Past(pool, request, ids)
        return ids

    def parts(self, size: int, real: int, synthetic: int) -> Parts:
        """Return the parts of a training set.

        Args:
            size: n, the rows of the set.
            real: the real rows of the set before.
            synthetic: the synthetic rows of the set before.

        Raises:
            UserError: a positive share gives no row.
        """
        counts = apportion(size, self.shares)
        for number, name in enumerate(("latest", "previous", "original")):
            if self.shares[number] > 0 and counts[number] == 0:
                raise UserError(
                    f"mixing.{name}={self.shares[number]:g} of n_train={size} gives no row; give mixing.{name}=0, or "
                    f"raise n_train to {int(1 / self.shares[number]) + 1}"
                )
        before = real + synthetic
        kept = apportion(counts[PREVIOUS], {0: real / before, 1: synthetic / before} if before else {0: 1.0, 1: 0.0})
        return Parts(counts[LATEST], kept[0], kept[1], counts[ORIGINAL])

    def _draw(self, latest: Provenance, before: Provenance, real: Provenance, request: DrawRequest) -> np.ndarray:
        seeds = request.seeds
        old_real, old_synthetic = before.real, before.synthetic
        parts = self.parts(request.n, len(old_real), len(old_synthetic))
        kind = "{} rows of the previous training set"
        kept_real = choose(old_real, parts.kept_real, seeds.child("kept/real"), kind.format("real"))
        kept = choose(old_synthetic, parts.kept_synthetic, seeds.child("kept/synthetic"), kind.format("synthetic"))
        others = real.where(~np.isin(real.ids, kept_real))
        drawn = choose(others, parts.drawn, seeds.child("real"), "real rows beside those that are kept")
        return np.concatenate([kept_real, drawn, kept, choose_synthetic(latest, parts.latest, request)])
