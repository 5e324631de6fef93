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
from collapse_lab.metrics.intervals import around, by_subsets, share
from collapse_lab.metrics.neighbours import TILE, reach
from collapse_lab.metrics.pairs import valid
from collapse_lab.types import Estimate, FeatureSet, Split


class Membership(NamedTuple):
    """Who lies within whose ball, row by row.

    balls: of each generated row, the number of reference balls that it lies in; precise where that is not 0.
    recalled: of each reference row, whether it lies in a generated row's ball.
    held: of each reference row, the number of generated rows in its ball; covered where that is not 0.
    freed: of each reference row, how many more rows the other balls would hold if it were not there, since
        those that reach to it would reach to one neighbour further.
    """

    balls: Int[Tensor, " n"]
    recalled: Bool[Tensor, " m"]
    held: Int[Tensor, " m"]
    freed: Int[Tensor, " m"]

    def shares(self) -> tuple[float, float, float]:
        """Precision, recall and coverage."""
        precise, recalled, covered = (
            float(part.double().mean()) for part in (self.balls > 0, self.recalled, self.held > 0)
        )
        return precise, recalled, covered


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
    reach_fake = reach(fake, k, rows)[0].T
    reach_real, others = reach(real, k, rows, beyond=min(1, len(real) - 1 - k))
    balls, recalled = torch.zeros(len(fake), dtype=torch.int64), torch.zeros(len(real), dtype=torch.bool)
    held, grown = (torch.zeros(len(real), dtype=torch.int64) for _ in range(2))
    for start in range(0, len(real), rows):
        here = slice(start, min(start + rows, len(real)))
        distances = tile(real, fake, here)
        i, j = inside(real, fake, here, distances, reach_real[here, :1])
        balls += j.bincount(minlength=len(fake))
        held[here] = i.bincount(minlength=len(distances))
        grown[here] = inside(real, fake, here, distances, reach_real[here, -1:])[0].bincount(minlength=len(distances))
        recalled[inside(real, fake, here, distances, reach_fake)[0] + start] = True
    more = (grown - held).repeat_interleave(k)
    freed = torch.zeros_like(held).index_add_(0, others.flatten(), more)
    return Membership(balls, recalled, held, freed)


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
    precision, recall, coverage = found.shares()
    density = float(found.balls.double().mean()) / k
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


@dataclass
class PRDC:
    """prdc of generated and reference features, with intervals of what is expected at these n and m.

    Precision, recall and coverage: the wider of Wilson's interval (rows vary, the balls stand still) and
    value ± 1.96 SE from subsets of both sets (the balls vary too). Density: each row's influence, which for a
    reference row is what its ball holds less what the others would hold without it (the jackknife).

    bootstrap: the number of subsets, and of resamplings; below 2 there are no intervals.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 40
    k: int = 5

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`precision`, `recall`, `density` and `coverage`."""
        fake, true = valid(generated.values, real.values)
        found = membership(fake, true, self.k)
        density = found.balls.double() / self.k
        by_ball = (len(true) - 1) * (found.held - found.freed).double() / (self.k * len(fake))
        estimates = {"density": around(float(density.mean()), [density, by_ball], rng, self.bootstrap, low=0.0)}
        errors = self._errors(fake, true, rng) if self.bootstrap >= 2 else [None] * 3
        sizes = {"precision": len(fake), "recall": len(true), "coverage": len(true)}
        for (name, n), value, error in zip(sizes.items(), found.shares(), errors, strict=True):
            estimates[name] = Estimate(value) if error is None else share(value, n, error)
        return estimates

    def _errors(self, fake: Float[Tensor, "n d"], real: Float[Tensor, "m d"], rng: np.random.Generator) -> list[float]:
        """Standard errors of precision, recall and coverage."""

        def shares(some: Int[np.ndarray, " a"], others: Int[np.ndarray, " b"]) -> Float[np.ndarray, " s"]:
            rows = fake[torch.from_numpy(some)], real[torch.from_numpy(others)]
            return np.array(membership(*rows, self.k).shares())

        errors = by_subsets(shares, (len(fake), len(real)), rng, self.bootstrap, least=self.k + 1)
        return [float(error) for error in errors]
