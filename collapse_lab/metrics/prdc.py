"""Compute precision, recall, density and coverage from nearest-neighbour balls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.metrics.clouds import clouds, pairs_within, tile
from collapse_lab.metrics.intervals import Z, by_subsets, share
from collapse_lab.metrics.neighbours import TILE, check_neighbours, kth_squared_distance
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Comparison, Count, Estimate, FeatureSet, Resamplings, Split


class Membership(NamedTuple):
    """Hold which rows lie within the balls of the other set.

    Attributes:
        balls: for each generated row, the number of reference balls that it lies in, (n,); a row is precise where
            this is not 0.
        recalled: for each reference row, whether it lies in a generated row's ball, (m,).
        covered: for each reference row, whether its ball holds a generated row, (m,).
    """

    balls: Int[Tensor, " n"]
    recalled: Bool[Tensor, " m"]
    covered: Bool[Tensor, " m"]

    def shares(self) -> dict[str, float]:
        """Return precision, recall and coverage by name, each in [0, 1]."""
        flags = {"precision": self.balls > 0, "recall": self.recalled, "coverage": self.covered}
        return {name: float(flag.double().mean()) for name, flag in flags.items()}

    def density(self, k: int) -> float:
        """Return the mean number of reference balls per generated row, in units of k."""
        return float(self.balls.double().mean()) / k


def membership(
    generated: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5, rows: int = TILE
) -> Membership:
    """Return which rows lie within the balls of the other set.

    The ball of a row reaches to its k-th nearest other row of its own set; within means |a - b| <= radius. With <=,
    equal sets score 1, and a ball of radius 0 (more than k copies of a row) holds its copies. The papers write <=
    too; some of their code has <. Memory: O((n + m) d + rows · n), in single precision. Pairs that single precision
    leaves in doubt are compared in double precision.

    Args:
        generated: generated features (n, d).
        reference: real features (m, d).
        k: which neighbour gives the radius, 1 or more, below n and m.
        rows: the rows of one tile.

    Raises:
        UserError: as `validated`, or k is not below n and m.
    """
    fake, real = clouds(*validated(generated, reference))
    reach_fake, reach_real = kth_squared_distance(fake, k, rows), kth_squared_distance(real, k, rows)
    balls = torch.zeros(len(fake), dtype=torch.int64)
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
    for start in range(0, len(real), rows):
        tile_rows = slice(start, min(start + rows, len(real)))
        distances = tile(real, fake, tile_rows)
        i, j = pairs_within(real, fake, tile_rows, distances, reach_real[tile_rows, None])
        balls += j.bincount(minlength=len(fake))
        covered[i + start] = True
        recalled[pairs_within(real, fake, tile_rows, distances, reach_fake[None])[0] + start] = True
    return Membership(balls, recalled, covered)


def prdc(generated: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5) -> dict[str, float]:
    """Return the shares of rows that lie in the other set's k-nearest-neighbour balls.

    precision = mean over generated rows of 1[in some reference ball]
    recall    = mean over reference rows of 1[in some generated ball]
    density   = mean over generated rows of (number of reference balls that hold it) / k
    coverage  = mean over reference rows of 1[its ball holds some generated row]

    A generator that collapsed on few modes has high precision and low recall.

    Args:
        generated: generated features (n, d).
        reference: real features (m, d).
        k: which neighbour gives the radius of a ball, 1 or more, below n and m.

    Returns:
        Shares in [0, 1], but density in [0, m/k].

    Raises:
        UserError: as `membership`.

    Source: precision and recall arXiv:1904.06991, density and coverage arXiv:2002.09797.
    """
    members = membership(generated, reference, k)
    return {**members.shares(), "density": members.density(k)}


@dataclass
class PRDC:
    """Measure `prdc` of generated and reference features, with intervals of its expectation at these n and m.

    The intervals are value ± 1.96 SE from subsets of both sets. The shares have Wilson's interval where that is
    wider; in it rows vary and balls are fixed.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of subsets; below 2 there are no intervals.
        k: which neighbour gives the radius of a ball, 1 or more, below the number of rows of either set.
    """

    version: ClassVar[int] = 2
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 40
    k: Count = 5

    def check_run(self, comparison: Comparison) -> None:
        """Refuse a k that is not below the numbers of rows."""
        check_neighbours(self.k, min(comparison.generated, comparison.real))

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `precision`, `recall`, `density` and `coverage`."""
        fake, true = validated(generated.values, real.values)
        members = membership(fake, true, self.k)
        shares, density = members.shares(), members.density(self.k)
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
        """Return standard errors by name."""
        names: list[str] = []

        def values(of_fake: Int[np.ndarray, " a"], of_real: Int[np.ndarray, " b"]) -> Float[np.ndarray, " s"]:
            shares = prdc(fake[torch.from_numpy(of_fake)], real[torch.from_numpy(of_real)], self.k)
            names[:] = shares
            return np.array(list(shares.values()))

        errors = by_subsets(values, (len(fake), len(real)), rng, self.bootstrap, least=self.k + 1)
        return dict(zip(names, map(float, errors), strict=True))
