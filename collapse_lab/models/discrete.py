"""The discrete family: the histogram of the rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.replicated import Replicated
from collapse_lab.seeds import Seeds
from collapse_lab.types import Count, Spec


class Discrete(Replicated):
    """p̂_k = (rows of category k)/n; a point is the number of its category, 0, …, K - 1.

    Args:
        spec: The data set, of points with one number.
        replicas: The number of independent chains, R.
        categories: K.

    Raises:
        UserError: points have more than one number, or what `Replicated` raises.
    """

    probabilities: Tensor

    def __init__(self, spec: Spec, *, replicas: Count = 1, categories: Count = 100) -> None:
        super().__init__(spec, replicas)
        if self.dimension != 1:
            raise UserError(
                f"Discrete takes points of one number, its category; these have {self.dimension}: give "
                "dataset=categories"
            )
        self.categories = categories
        self.register_buffer("probabilities", torch.full((self.replicas, categories), 1 / categories).double())

    def estimate(self, rows: Tensor, seeds: Seeds) -> Mapping[str, Tensor]:
        """Return the shares of the categories, (R, K).

        Raises:
            UserError: a point is no category.
        """
        numbers = rows[..., 0].long()
        if (numbers != rows[..., 0]).any() or numbers.min() < 0 or numbers.max() >= self.categories:
            raise UserError(
                f"Discrete takes categories 0 to {self.categories - 1}; got points from {float(rows.min()):g} to "
                f"{float(rows.max()):g}: give dataset=categories, and model.categories equal to dataset.categories"
            )
        places = numbers + torch.arange(self.replicas) * self.categories
        counts = torch.bincount(places.flatten(), minlength=self.replicas * self.categories)
        return {"probabilities": counts.view(self.replicas, -1).double() / len(rows)}

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n categories of each replica, (n, R, 1)."""
        drawn = torch.multinomial(self.probabilities, n, replacement=True, generator=generator)
        return drawn.T[..., None].double()
