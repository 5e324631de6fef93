"""Make pools of every shape for the mixing policies, and check what holds for every draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from collapse_lab.engine.pool import Block, Pool
from collapse_lab.mixing.base import Policy
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, DrawRequest, Provenance, Samples

SHARES = st.just(0.0) | st.floats(1e-9, 1)  # a positive share below 1e-9 would need 10^9 rows to give one


def node(policy: type, **arguments: object) -> dict[str, Any]:
    """Return the configuration node of a policy."""
    return {"_target_": f"{policy.__module__}.{policy.__qualname__}", **arguments}


def no_samples() -> Samples:
    """Fail, because a mixing policy must not look at the samples themselves."""
    raise AssertionError("a mixing policy decides from provenance alone")


@dataclass(frozen=True)
class World:
    """Describe a pool before the training set of a generation is drawn.

    Attributes:
        generation: the generation whose training set is drawn, 1 or more.
        sources: the number of models that sample rows.
        n_samples: the number of rows that each source samples in each generation.
        eligible: (real rows,) bool, whether generations after 0 may train on each real row.
        initial: the number of real rows that generation 0 trained on.
        seed: the seed of the run.
        later: whether the pool also holds rows sampled by `generation` itself, on which it must not train.
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
        pool.append(Block("real", REAL, 0, np.arange(n) % 3, no_samples, self.eligible))
        for born in range(self.generation + self.later):
            for source in range(1, self.sources + 1):
                pool.append(Block(f"{born}/{source}", source, born, np.full(self.n_samples, 7), no_samples))
        return pool.provenance()

    @property
    def originals(self) -> np.ndarray:
        """The real rows that generation 0 trained on, eligible or not."""
        order: np.ndarray = np.random.default_rng(self.seed).permutation(len(self.eligible))
        return order[: self.initial]

    @property
    def usable(self) -> np.ndarray:
        """The originals that later generations may train on."""
        originals = self.originals
        return np.extract(self.eligible[originals], originals)

    @property
    def unused(self) -> int:
        """The number of eligible real rows that generation 0 did not train on."""
        return int(self.eligible.sum()) - len(self.usable)

    def request(self, n: int, exposure: dict[int, float] | None = None, generation: int | None = None) -> DrawRequest:
        g = self.generation if generation is None else generation
        shares = exposure or dict.fromkeys(range(1, self.sources + 1), 1 / self.sources)
        return DrawRequest(g, n, Seeds(self.seed, g, "model", "mix"), self.originals, shares)

    def draw(self, policy: Policy, n: int, exposure: dict[int, float] | None = None) -> Drawn:
        """Return the rows that a policy draws, after the checks that every draw has to pass."""
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
    """Hold the rows of a draw, and its real and its synthetic rows."""

    ids: np.ndarray
    real: np.ndarray
    synthetic: Provenance


@st.composite
def worlds(draw: st.DrawFn, later: bool = False) -> World:
    """Draw a pool of any small shape."""
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
    """Draw shares of the sources that sum to 1; some of them may be 0."""
    weights = draw(st.lists(st.integers(0, 7), min_size=sources, max_size=sources))
    weights[draw(st.integers(0, sources - 1))] += 1
    return {source: weight / sum(weights) for source, weight in enumerate(weights, start=1)}
