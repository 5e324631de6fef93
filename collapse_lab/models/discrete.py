"""The discrete family: the histogram of the rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.models.replicated import Replicated
from collapse_lab.types import Spec


class Discrete(Replicated):
    """p̂_k = (rows of category k)/n; a point is the number of its category, 0, …, K - 1.

    categories: K.

    Raises:
        UserError: points that are no such numbers, and what `Replicated` raises.
    """

    probabilities: Tensor

    def __init__(self, spec: Spec, *, replicas: int = 1, categories: int = 100) -> None:
        super().__init__(spec, replicas)
        if categories < 1:
            raise UserError(f"model.categories is 1 or more; got {categories}")
        if self.dimension != 1:
            raise UserError(
                f"Discrete takes points of one number, its category; these have {self.dimension}: give "
                "dataset=categories"
            )
        self.categories = categories
        self.register_buffer("probabilities", torch.full((self.replicas, categories), 1 / categories).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        numbers = rows[..., 0].long()
        if (numbers != rows[..., 0]).any() or numbers.min() < 0 or numbers.max() >= self.categories:
            raise UserError(
                f"Discrete takes categories 0 to {self.categories - 1}; got points from {float(rows.min()):g} to "
                f"{float(rows.max()):g}: give dataset=categories, and model.categories as it has"
            )
        places = numbers + torch.arange(self.replicas) * self.categories
        counts = torch.bincount(places.flatten(), minlength=self.replicas * self.categories)
        return {"probabilities": counts.view(self.replicas, -1).double() / len(rows)}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        drawn = torch.multinomial(self.probabilities, n, replacement=True, generator=generator)
        return drawn.T[..., None].double()
