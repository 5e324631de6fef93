"""Where rows of the pool come from, and the training set that a mixing policy is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from collapse_lab.sizes import Sizes, size_at

if TYPE_CHECKING:
    from collapse_lab.seeds import Seeds

REAL = 0  # the `source` of a real row; model k of a population is source k + 1
UNBORN = -1  # the `born` of a real row: no generation sampled it


@dataclass(frozen=True)
class Provenance:
    """Say where each of n rows comes from. A mixing policy sees nothing else.

    Attributes:
        ids: (n,) the rows' numbers in the pool.
        source: (n,) 0 for real rows, k + 1 for rows of model k of the population.
        born: (n,) the generation that sampled the row; -1 for real rows.
        labels: (n,) -1 where a row has none.
        eligible: (n,) bool, whether generations after 0 may train on the row.
        prompts: (n,) the number of the row's prompt: equal for rows of one label and one caption.
        owner: (n,) of a real row the model k that it is private to, 0 where it is public; 0 for rows of models.
    """

    ids: np.ndarray
    source: np.ndarray
    born: np.ndarray
    labels: np.ndarray
    eligible: np.ndarray
    prompts: np.ndarray
    owner: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: np.ndarray) -> Provenance:
        """Return the rows that a mask (n,) selects, in order."""
        return Provenance(*(getattr(self, column.name)[mask] for column in fields(self)))

    @property
    def real(self) -> Provenance:
        """Return the real rows."""
        return self.where(self.source == REAL)

    @property
    def synthetic(self) -> Provenance:
        """Return the rows that models sampled."""
        return self.where(self.source != REAL)


@dataclass(frozen=True)
class DrawRequest:
    """Ask a mixing policy for one training set.

    Attributes:
        generation: the generation that trains on it; 0 in the first generation of a member.
        sizes: nominal sizes (`n_train`) of the training sets of all generations.
        seeds: where the draw takes its random numbers from.
        originals: ids of the real rows that the member's first generation was trained on.
        exposure: source -> its share of the synthetic rows; the shares sum to 1.
        member: the number of the model that asks: the source of its own rows.
    """

    generation: int
    sizes: Sizes
    seeds: Seeds
    originals: np.ndarray
    exposure: Mapping[int, float]
    member: int = 1

    @property
    def n(self) -> int:
        """Return the nominal size of this training set."""
        return size_at(self.sizes, self.generation)
