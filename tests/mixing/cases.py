"""Pools of every shape for the mixing policies to draw from, and what holds of every draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from collapse_lab.engine.pool import Block, Pool, Provenance
from collapse_lab.engine.seeds import Seeds
from collapse_lab.mixing.base import Policy, Request
from collapse_lab.types import REAL, Samples

SHARES = st.just(0.0) | st.floats(1e-9, 1)  # below, a set of one row would need 10^9 and more


def never() -> Samples:
    """A policy that looks at the samples themselves fails here."""
    raise AssertionError("a mixing policy decides from provenance alone")


@dataclass(frozen=True)
class World:
    """A pool before generation `generation` is drawn: real rows, then `n_samples` of each source and generation.

    later: whether it also holds rows of the generation itself, which nothing of that generation may train on.
    """

    generation: int
    sources: int
    n_samples: int
    eligible: np.ndarray
    initial: int
    seed: int
    later: bool = False

    @property
    def pool(self) -> Provenance:
        pool = Pool()
        n = len(self.eligible)
        pool.append(Block("real", REAL, 0, np.arange(n) % 3, never, self.eligible))
        for born in range(self.generation + self.later):
            for source in range(1, self.sources + 1):
                pool.append(Block(f"{born}/{source}", source, born, np.full(self.n_samples, 7), never))
        return pool.provenance()

    @property
    def originals(self) -> np.ndarray:
        """The rows of generation 0: any, eligible or not."""
        order: np.ndarray = np.random.default_rng(self.seed).permutation(len(self.eligible))
        return order[: self.initial]

    @property
    def usable(self) -> np.ndarray:
        """The originals that later generations may train on."""
        drawn = self.originals
        return np.extract(self.eligible[drawn], drawn)

    @property
    def unused(self) -> int:
        """How many real rows are left that may be trained on and were not yet."""
        return int(self.eligible.sum()) - len(self.usable)

    def request(self, n: int, exposure: dict[int, float] | None = None, generation: int | None = None) -> Request:
        g = self.generation if generation is None else generation
        shares = exposure or dict.fromkeys(range(1, self.sources + 1), 1 / self.sources)
        return Request(g, n, Seeds(self.seed, g, "model", "mix"), self.originals, shares)

    def draw(self, policy: Policy, n: int, exposure: dict[int, float] | None = None) -> Drawn:
        """The rows that a policy draws, after the checks that every draw has to pass."""
        request = self.request(n, exposure)
        ids = policy.draw(self.pool, request)
        again = policy.draw(self.pool, request)
        assert (ids == again).all(), "the same request gives the same rows"
        assert len(np.unique(ids)) == len(ids), "a row is drawn twice"
        chosen = self.pool.where(np.isin(self.pool.ids, ids))
        assert len(chosen) == len(ids), "a row is not in the pool"
        assert chosen.eligible.all(), "a row that must not be trained on again"
        assert (chosen.synthetic.born < request.generation).all(), "a row from the future"
        exposed = [source for source, share in request.exposure.items() if share > 0]
        assert np.isin(chosen.synthetic.source, exposed).all(), "a row of a source without a share"
        return Drawn(ids, chosen.real.ids, chosen.synthetic)


@dataclass(frozen=True)
class Drawn:
    """A draw, and its real and synthetic parts."""

    ids: np.ndarray
    real: np.ndarray
    synthetic: Provenance


@st.composite
def worlds(draw: st.DrawFn, later: bool = False) -> World:
    real = draw(st.integers(1, 60))
    return World(
        generation=draw(st.integers(1, 4)),
        sources=draw(st.integers(1, 4)),
        n_samples=draw(st.integers(1, 40)),
        eligible=np.array(draw(st.lists(st.booleans(), min_size=real, max_size=real))),
        initial=draw(st.integers(1, real)),
        seed=draw(st.integers(0, 2**40)),
        later=later,
    )


@st.composite
def exposures(draw: st.DrawFn, sources: int) -> dict[int, float]:
    """Shares that sum to 1, some of them 0."""
    weights = draw(st.lists(st.integers(0, 7), min_size=sources, max_size=sources))
    weights[draw(st.integers(0, sources - 1))] += 1
    return {source: weight / sum(weights) for source, weight in enumerate(weights, start=1)}
