"""Categories of unlike probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points
from collapse_lab.errors import UserError


@dataclass(kw_only=True, eq=False)
class Categories(Points):
    """p_k ∝ 1/(k + 1)^exponent for k = 0, …, K - 1 (Zipf's law; 0 makes them equal); a point is the number k.

    categories: K.

    Raises:
        UserError: fewer than 1 category, or a negative exponent.
    """

    categories: int = 100
    exponent: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.categories < 1:
            raise UserError(f"dataset.categories is 1 or more; got {self.categories}")
        if not 0 <= self.exponent < float("inf"):
            raise UserError(f"dataset.exponent is 0 (equal probabilities) or more; got {self.exponent}")

    @property
    def width(self) -> int:
        """One number: the category."""
        return 1

    @property
    def probabilities(self) -> Tensor:
        """p_k, (K,)."""
        weights = torch.arange(1, self.categories + 1, dtype=torch.float64) ** -self.exponent
        return weights / weights.sum()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Rows of category numbers."""
        drawn = torch.multinomial(self.probabilities, n * self.replicas, replacement=True, generator=generator)
        return drawn.double().view(n, self.replicas, 1)
