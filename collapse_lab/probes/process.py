"""How the generations of a run follow on each other: what a closed form has to know of the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collapse_lab.engine.population import Population
from collapse_lab.mixing.base import Policy
from collapse_lab.sizes import ConfiguredSizes, read_sizes
from collapse_lab.types import Curation


@dataclass(frozen=True)
class Process:
    """Hold a chain as it is configured.

    The laws that a probe records beside its numbers hold for one model on its own output alone, without curation, under
    a mixing policy for which there is a law.

    Args:
        mixing: The mixing policy.
        population: The members of every generation.
        curation: What is done to samples before they are trained on.
        n_train: Rows that each generation trains on, as configured.
        n_samples: Rows that each generation samples, as configured.
        generations: G, the last generation.
    """

    mixing: Policy
    population: Population
    curation: Curation
    n_train: ConfiguredSizes
    n_samples: ConfiguredSizes
    generations: int

    @property
    def alone(self) -> bool:
        """Return whether the run has one model, on its own output only, and no curation acts on it."""
        return len(self.population.names) == 1 and not self.curation.changes_samples

    @cached_property
    def steps(self) -> np.ndarray:
        """Return 0, …, G."""
        return np.arange(self.generations + 1)

    @cached_property
    def nominal(self) -> np.ndarray:
        """Return `n_train` of generations 0, …, G."""
        return self._along("n_train", self.n_train)

    @cached_property
    def sampled(self) -> np.ndarray:
        """Return `n_samples` for the training sets of generations 0, …, G: entry g is what generation g - 1 samples."""
        return self._along("n_samples", self.n_samples)

    def first(self, rows: int) -> int:
        """Return M_0, the size of the training set of generation 0.

        Args:
            rows: The number of real rows.
        """
        return rows if self.mixing.initial == "all" else int(self.mixing.initial or self.nominal[0])

    def trained(self, rows: int) -> np.ndarray:
        """Return M_0, …, M_G, the sizes of the training sets under replace.

        Args:
            rows: The number of real rows.
        """
        return np.concatenate([[self.first(rows)], self.nominal[1:]])

    def added(self, rows: int) -> np.ndarray:
        """Return M_0, …, M_G, the rows that each generation adds under accumulate.

        Args:
            rows: The number of real rows.
        """
        return np.concatenate([[self.first(rows)], self.sampled[1:]])

    def _along(self, name: str, configured: ConfiguredSizes) -> np.ndarray:
        sizes = read_sizes(name, configured, self.generations)
        return np.broadcast_to(
            np.asarray(sizes if isinstance(sizes, int) else sizes[: self.generations + 1]), self.generations + 1
        )
