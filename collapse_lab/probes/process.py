"""How the generations of a run follow on each other: what a closed form has to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collapse_lab.curation.none import Nothing
from collapse_lab.mixing.base import Policy
from collapse_lab.population import Population
from collapse_lab.types import Curation


@dataclass(frozen=True)
class Process:
    """A chain as configured. The laws that a probe draws beside its numbers hold for a model on its own output alone,
    uncurated, under a mixing policy for which there is one.
    """

    mixing: Policy
    population: Population
    curation: Curation
    n_train: int
    n_samples: int
    generations: int

    @property
    def alone(self) -> bool:
        """Whether it is one model, on its own output and nothing else's, with no sample left out or changed."""
        return len(self.population.names) == 1 and isinstance(self.curation, Nothing)

    @cached_property
    def steps(self) -> np.ndarray:
        """0, …, G."""
        return np.arange(self.generations + 1)

    def first(self, rows: int) -> int:
        """M_0, the training set of generation 0, of so many real rows."""
        return rows if self.mixing.initial == "all" else int(self.mixing.initial or self.n_train)

    def sizes(self, rows: int, later: int) -> np.ndarray:
        """M_0, then the same number in every generation."""
        sizes = np.full(self.generations + 1, later)
        sizes[0] = self.first(rows)
        return sizes
