"""Data set of points of an interval whose density is a sum of cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lab.datasets.points import Points
from collapse_lab.errors import UserError


@dataclass(kw_only=True, eq=False)
class Waves(Points):
    """Draw points of [0, 1] with the density p(x) = 1 + Σ_k a_k cos(πkx), k = 1, 2, ….

    Args:
        replicas: R, number of independent chains.
        rows: number of training rows.
        reference: number of reference rows, 2 or more.
        seed: seed of the draws.
        amplitudes: a_1, a_2, …; Σ |a_k| is 1 at most, so that the density is never negative.

    Raises:
        UserError: when there is no amplitude, one is not finite, or they sum to more than 1.
    """

    amplitudes: Sequence[float] = (0.25, 0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        total = sum(map(abs, self.amplitudes))
        if not self.amplitudes or not total <= 1 + 1e-9:
            raise UserError(
                "dataset.amplitudes is a list of numbers whose absolute values sum to 1 at most; got "
                f"{list(self.amplitudes)}, of sum {total:g}"
            )
        super().__post_init__()

    @property
    def width(self) -> int:
        """Return 1, because a point is one number."""
        return 1

    @property
    def coefficients(self) -> Tensor:
        """Return ∫ p(x) √2 cos(πkx) dx = a_k/√2 for k = 1, 2, …, (K,) float64."""
        return torch.tensor(self.amplitudes, dtype=torch.float64) / math.sqrt(2)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows, (n, R, 1) float64.

        The density is a mixture of 1 and of 1 ± cos(πkx). A uniform x is kept with probability (1 ± cos(πkx))/2. Else
        it is mirrored inside its interval [j/k, (j + 1)/k], where the cosine changes its sign: so no draw is rejected.
        """
        amplitudes = torch.tensor(self.amplitudes, dtype=torch.float64)
        weights = torch.cat([(1 - amplitudes.abs().sum()).clamp(min=0)[None], amplitudes.abs()])
        chosen = torch.multinomial(weights, n * self.replicas, replacement=True, generator=generator)
        x = torch.rand(n * self.replicas, dtype=torch.float64, generator=generator)
        chance = torch.rand(n * self.replicas, dtype=torch.float64, generator=generator)
        signs = torch.cat([torch.zeros(1).double(), amplitudes.sign()])[chosen]
        k = chosen.clamp(min=1)
        mirrored = (2 * (x * k).floor() + 1) / k - x
        kept = chance < (1 + signs * torch.cos(math.pi * k * x)) / 2
        return torch.where(kept | (chosen == 0), x, mirrored).view(n, self.replicas, 1)
