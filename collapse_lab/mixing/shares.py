"""The shares of all sources in what each member of a population trains on, one generation after another."""

from __future__ import annotations

import numpy as np

from collapse_lab.engine.population import Population
from collapse_lab.mixing.interacting import PRIVATE, PUBLIC, Interacting


def shares(mixing: Interacting, population: Population, generation: int) -> np.ndarray:
    """Return a row for each member: private rows, public rows, and the rows of each model; (K, K + 2).

    Those of a member that is absent, or there for the first time, have no generated rows.

    Args:
        mixing: The policy.
        population: Its members.
        generation: The generation that trains.
    """
    sources = range(1, len(population.names) + 1)
    rows = []
    for k, name in enumerate(population.names):
        learns = population.is_present(k, generation) and generation > population.first_generation(k)
        exposure = population.sources(k, generation) if learns else dict.fromkeys(sources, 0.0)
        row = mixing.row(name, exposure, generation if learns else 0)
        rows.append([row[number] for number in (PRIVATE, PUBLIC, *sources)])
    return np.array(rows)
