"""Precision, recall, density and coverage from nearest-neighbour balls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.metrics.clouds import clouds, inside, tile
from collapse_lab.metrics.intervals import Z, by_subsets, share
from collapse_lab.metrics.neighbours import TILE, reach
from collapse_lab.metrics.pairs import valid
from collapse_lab.types import Estimate, FeatureSet, Split


class Membership(NamedTuple):
    """Who lies within whose ball, row by row.

    balls: of each generated row, the number of reference balls that it lies in; precise where that is not 0.
    recalled: of each reference row, whether it lies in a generated row's ball.
    covered: of each reference row, whether its ball holds a generated row.
    """

    balls: Int[Tensor, " n"]
    recalled: Bool[Tensor, " m"]
    covered: Bool[Tensor, " m"]

    def shares(self) -> dict[str, float]:
        """Precision, recall and coverage."""
        parts = {"precision": self.balls > 0, "recall": self.recalled, "coverage": self.covered}
        return {name: float(part.double().mean()) for name, part in parts.items()}

    def density(self, k: int) -> float:
        """Balls per generated row, in units of k."""
        return float(self.balls.double().mean()) / k


def membership(
    generated: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5, rows: int = TILE
) -> Membership:
    """The ball of a row reaches to its k-th nearest other row of its own set; within is |a - b| <= radius.

    With <=, sets that are alike score 1, and a ball of radius 0 (more than k copies of a row) holds its
    copies; the papers write <= too, some of their code <. Memory: O((n + m) d + rows · n), in single precision;
    what that leaves in doubt is compared in double precision.

    Raises: UserError as `valid`, and where k is not below n and m.
    """
    fake, real = clouds(*valid(generated, reference))
    reach_fake, reach_real = reach(fake, k, rows), reach(real, k, rows)
    balls = torch.zeros(len(fake), dtype=torch.int64)
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
    for start in range(0, len(real), rows):
        here = slice(start, min(start + rows, len(real)))
        distances = tile(real, fake, here)
        i, j = inside(real, fake, here, distances, reach_real[here, None])
        balls += j.bincount(minlength=len(fake))
        covered[i + start] = True
        recalled[inside(real, fake, here, distances, reach_fake[None])[0] + start] = True
    return Membership(balls, recalled, covered)


def prdc(generated: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5) -> dict[str, float]:
    """Shares of rows that lie in the other set's k-nearest-neighbour balls.

    precision = mean over generated rows of 1[in some reference ball]
    recall    = mean over reference rows of 1[in some generated ball]
    density   = mean over generated rows of (number of reference balls that hold it) / k
    coverage  = mean over reference rows of 1[its ball holds some generated row]

    Range: [0, 1], but density in [0, m/k]. A generator collapsed on few modes has high precision, low recall.
    Raises: UserError as `membership`.
    Source: precision and recall arXiv:1904.06991, density and coverage arXiv:2002.09797.
    """
    found = membership(generated, reference, k)
    return {**found.shares(), "density": found.density(k)}


@dataclass
class PRDC:
    """prdc of generated and reference features, with intervals of what is expected at these n and m.

    value ± 1.96 SE from subsets of both sets; for the shares Wilson's interval (rows vary, the balls stand still)
    where that is wider.

    bootstrap: the number of subsets; below 2 there are no intervals.
    """

    version: ClassVar[int] = 2
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 40
    k: int = 5

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`precision`, `recall`, `density` and `coverage`."""
        fake, true = valid(generated.values, real.values)
        found = membership(fake, true, self.k)
        shares, density = found.shares(), found.density(self.k)
        if self.bootstrap < 2:
            return {name: Estimate(value) for name, value in {**shares, "density": density}.items()}
        errors = self._errors(fake, true, rng)
        sizes = {"precision": len(fake), "recall": len(true), "coverage": len(true)}
        estimates = {name: share(shares[name], n, errors[name]) for name, n in sizes.items()}
        half = Z * errors["density"]
        return {**estimates, "density": Estimate(density, max(0.0, density - half), density + half)}

    def _errors(
        self, fake: Float[Tensor, "n d"], real: Float[Tensor, "m d"], rng: np.random.Generator
    ) -> dict[str, float]:
        """Standard errors."""
        names: list[str] = []

        def values(some: Int[np.ndarray, " a"], others: Int[np.ndarray, " b"]) -> Float[np.ndarray, " s"]:
            found = prdc(fake[torch.from_numpy(some)], real[torch.from_numpy(others)], self.k)
            names[:] = found
            return np.array(list(found.values()))

        errors = by_subsets(values, (len(fake), len(real)), rng, self.bootstrap, least=self.k + 1)
        return dict(zip(names, map(float, errors), strict=True))
