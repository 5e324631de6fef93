"""The updates of linear models that learn from each other: whose rows count how much, and the spectral radius."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.shares import shares
from collapse_lab.probes.process import Process
from collapse_lab.theory.interacting import Designs, system


@dataclass(frozen=True, eq=False)
class LinearUpdates:
    """Hold the updates of a run, θ → P v + Q (θ + ε) (`theory.interacting`).

    Args:
        process: How the generations follow on each other.
        mixing: Its policy.
        inputs: Prompt set -> the inputs of its rows, (n, d).
    """

    process: Process
    mixing: Interacting
    inputs: Mapping[str, np.ndarray]

    @cached_property
    def unknown(self) -> str:
        """Return why the matrices of an update are not known; "" where they are."""
        population = self.process.population
        if self.process.curation.changes_samples:
            return "curation changes the rows that are trained on"
        if population.public is None:
            return "population.public names no prompt set"
        unnamed = [name for name in population.names if name not in population.generates]
        if unnamed:
            return f"population.generates names no prompt set for {', '.join(unnamed)}"
        if self._part(int(self.process.sampled.min())) == 0:
            return "n_samples is below the number of members, so that some have no part (mixing.draw=own)"
        return ""

    @cached_property
    def inexact(self) -> str:
        """Return why the exact expectations of the run are not known; "" where they are."""
        if self.unknown:
            return self.unknown
        if self.mixing.by != "weights":
            return "rows are drawn (mixing.by=rows)"
        if len(set(self.process.sampled)) > 1:
            return "n_samples follows a schedule"
        if self.process.population.present:
            return "members come and go (population.present)"
        if self._apart:
            return (
                "two members train on unlike inputs of one model (mixing.draw=own); an n_samples of members x rows of "
                "a domain gives them the same ones"
            )
        return ""

    @cached_property
    def designs(self) -> Designs | None:
        """Return the designs of all sources; None where there are no exact expectations."""
        return None if self.inexact else self._designs(int(self.process.sampled[0]), 0)

    @cached_property
    def radii(self) -> list[float]:
        """Return ρ(Q) of each different update of generations 1, …, G.

        With `mixing.by=rows` it is that of all rows of each source, of which a run draws some.
        """
        radii: dict[tuple[bytes, int], float] = {}
        for generation in range(1, self.process.generations + 1):
            rows, n = self.shares(generation), int(self.process.sampled[generation])
            if (rows.tobytes(), n) not in radii:
                radii[rows.tobytes(), n] = float(np.abs(np.linalg.eigvals(self._models(rows, n))).max())
        return list(radii.values())

    def shares(self, generation: int) -> np.ndarray:
        """Return the rows of shares (K, K + 2) of one generation (`mixing.shares`)."""
        return shares(self.mixing, self.process.population, generation)

    @cached_property
    def _apart(self) -> bool:
        """Return whether some members train on other inputs of the same model than others do."""
        if self.mixing.drawn == "shared":
            return False
        made, parts = self.process.population.generates.values(), map(self._part, map(int, self.process.sampled))
        return any(part % len(self.inputs[name]) for part in set(parts) for name in made)

    def _models(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Return Q of an update with these shares, to which each model brings n rows."""
        if not self._apart:
            return system(self._designs(n, 0), rows).models
        d = next(iter(self.inputs.values())).shape[1]
        # Because each member has a part of its own, the rows of Q that belong to it follow from its own designs
        own = [system(self._designs(n, k), rows).models[k * d : (k + 1) * d] for k in range(len(rows))]
        return np.concatenate(own)

    def _part(self, n: int) -> int:
        """Return how many of n rows of a model one member trains on."""
        return n if self.mixing.drawn == "shared" else n // len(self.process.population.names)

    def _designs(self, n: int, member: int) -> Designs:
        """Return the designs of all sources as one member is given them, of which the models bring n rows each."""
        population, part = self.process.population, self._part(n)
        rows = np.arange(part) + (0 if self.mixing.drawn == "shared" else member * part)
        assert population.public is not None
        public = self.inputs[population.public]
        private = [self.inputs[population.private.get(name, population.public)] for name in population.names]
        made = [self.inputs[population.generates[name]] for name in population.names]
        return Designs.of_rows(private, public, [x[rows % len(x)] for x in made])
