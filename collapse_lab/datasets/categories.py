"""Data set of category numbers with different probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from collapse_lab.datasets.points import Points
from collapse_lab.types import NonNegative


@dataclass(kw_only=True, eq=False)
class Categories(Points):
    """Draw category numbers k = 0, …, K - 1 with p_k ∝ 1/(k + 1)^exponent (Zipf's law); a point is the number k.

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows.
        reference: number of reference rows, 2 or more.
        seed: seed of the draws.
        categories: K, in [1, 2^24].
        exponent: exponent of the law, 0 or more; 0 gives all categories the same probability.

    Raises:
        UserError: when there are fewer than 2 reference rows.
    """

    categories: Annotated[int, Ge(1), Le(2**24)] = 100  # torch draws from no more categories
    exponent: NonNegative = 1.0

    @property
    def width(self) -> int:
        """Return 1, because a point is one category number."""
        return 1

    @property
    def probabilities(self) -> Tensor:
        """Return p_k, (K,) float64."""
        weights = torch.arange(1, self.categories + 1, dtype=torch.float64) ** -self.exponent
        return weights / weights.sum()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of category numbers, (n, R, 1) float64."""
        drawn = torch.multinomial(self.probabilities, n * self.replicas, replacement=True, generator=generator)
        return drawn.double().view(n, self.replicas, 1)
