"""How the generations of a run follow on each other: what a closed form has to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collapse_lab.curation.none import Nothing
from collapse_lab.engine.population import Population
from collapse_lab.mixing.base import Policy
from collapse_lab.sizes import Given, read_sizes
from collapse_lab.types import Curation


@dataclass(frozen=True)
class Process:
    """A chain as configured. The laws that a probe draws beside its numbers hold for a model on its own output alone,
    uncurated, under a mixing policy for which there is one.
    """

    mixing: Policy
    population: Population
    curation: Curation
    n_train: Given
    n_samples: Given
    generations: int

    @property
    def alone(self) -> bool:
        """Whether it is one model, on its own output and nothing else's, with no sample left out or changed."""
        return len(self.population.names) == 1 and isinstance(self.curation, Nothing)

    @cached_property
    def steps(self) -> np.ndarray:
        """0, …, G."""
        return np.arange(self.generations + 1)

    @cached_property
    def nominal(self) -> np.ndarray:
        """`n_train` of generations 0, …, G."""
        return self._along("n_train", self.n_train)

    @cached_property
    def sampled(self) -> np.ndarray:
        """`n_samples` of the training sets of generations 0, …, G: entry g is what generation g - 1 samples."""
        return self._along("n_samples", self.n_samples)

    def first(self, rows: int) -> int:
        """M_0, the training set of generation 0, of so many real rows."""
        return rows if self.mixing.initial == "all" else int(self.mixing.initial or self.nominal[0])

    def trained(self, rows: int) -> np.ndarray:
        """M_0, …, M_G, the training sets under replace."""
        return np.concatenate([[self.first(rows)], self.nominal[1:]])

    def added(self, rows: int) -> np.ndarray:
        """M_0, …, M_G, what each generation adds under accumulate."""
        return np.concatenate([[self.first(rows)], self.sampled[1:]])

    def _along(self, name: str, given: Given) -> np.ndarray:
        sizes = read_sizes(name, given, self.generations)
        return np.broadcast_to(
            np.asarray(sizes if isinstance(sizes, int) else sizes[: self.generations + 1]), self.generations + 1
        )
