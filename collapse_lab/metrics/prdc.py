"""Compute precision, recall, density and coverage from nearest-neighbour balls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.metrics.clouds import Cloud, clouds, pairs_within
from collapse_lab.metrics.intervals import Z, error_of_subsets, share, share_of_subsets, subsets
from collapse_lab.metrics.neighbours import (
    Candidates,
    Listed,
    check_neighbours,
    chosen,
    kth_of_listed,
    kth_squared_distance,
    listed,
    part,
)
from collapse_lab.metrics.tiles import Known, Reader, Tile, in_one_pass, pair, walk
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Comparison, Count, Estimate, FeatureSet, Resamplings, Split, Task

MOST = 256  # the most neighbours that are listed of each real row; longer lists take more than they save


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

    def values(self, k: int) -> dict[str, float]:
        """Return precision, recall and coverage, each in [0, 1], and density, the mean number of balls over k."""
        flags = {"precision": self.balls > 0, "recall": self.recalled, "coverage": self.covered}
        shares = {name: float(flag.double().mean()) for name, flag in flags.items()}
        return {**shares, "density": float(self.balls.double().mean()) / k}


class Balls:
    """Collect the membership of two sets, or of two subsets of them, tile by tile.

    Args:
        generated: the generated rows.
        real: the real rows.
        k: which neighbour gives the radius.
        real_reach: returns the squared radii of the real rows, in units of the squared scale. It is called once, after
            all tiles of real rows and of generated rows.
        of_generated: the numbers of the subset's generated rows, rising; None means all of them.
        of_real: the numbers of the subset's real rows, rising; None means all of them.

    Attributes:
        members: the membership, after all tiles.
    """

    def __init__(
        self,
        generated: Cloud,
        real: Cloud,
        k: int,
        real_reach: Callable[[], Float[Tensor, " m"]],
        of_generated: Int[Tensor, " n"] | None = None,
        of_real: Int[Tensor, " m"] | None = None,
    ) -> None:
        self._generated, self._real, self._subset = generated, real, (of_generated, of_real)
        self._make_real_reach = real_reach
        n, m = (len(c) if of is None else len(of) for c, of in zip((generated, real), self._subset, strict=True))
        check_neighbours(k, min(n, m))
        self._radii = Candidates(generated, generated, k, of_generated, of_generated)
        self.of_generated = self._radii.take
        device = generated.near.device
        self.members = Membership(
            torch.zeros(n, dtype=torch.int64, device=device),
            torch.zeros(m, dtype=torch.bool, device=device),
            torch.zeros(m, dtype=torch.bool, device=device),
        )

    @cached_property
    def _reach(self) -> Float[Tensor, " n"]:
        return self._radii.kth()

    @cached_property
    def _real_reach(self) -> Float[Tensor, " m"]:
        return self._make_real_reach()

    def of_both(self, tile: Tile) -> None:
        """Look at a tile of generated with real rows, after all tiles of generated rows."""
        of_generated, of_real = self._subset
        rows, columns = part(of_generated, tile.rows), part(of_real, tile.columns)
        if rows.start == rows.stop:
            return
        distances = chosen(tile, of_generated, rows, of_real, columns)
        place = (rows if of_generated is None else of_generated[rows], columns if of_real is None else of_real[columns])
        within = partial(pairs_within, self._generated, self._real, place[0], distances, columns=place[1])
        i, j = within(self._real_reach[None, columns])
        self.members.balls[rows] += i.bincount(minlength=len(distances))
        self.members.covered[j] = True
        self.members.recalled[within(self._reach[rows, None])[1]] = True


def membership(generated: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5) -> Membership:
    """Return which rows lie within the balls of the other set.

    The ball of a row reaches to its k-th nearest other row of its own set; within means |a - b| <= radius. With <=,
    equal sets score 1, and a ball of radius 0 (more than k copies of a row) holds its copies. The papers write <=
    too; some of their code has <. Memory: O((n + m) d + TILE · n), in single precision. Pairs that single precision
    leaves in doubt are compared in double precision.

    Args:
        generated: generated features (n, d).
        reference: real features (m, d).
        k: which neighbour gives the radius, 1 or more, below n and m.

    Raises:
        UserError: as `validated`, or k is not below n and m.
    """
    fake, real = pair(generated, reference)
    balls = Balls(fake, real, k, partial(kth_squared_distance, real, k))
    walk(fake, fake, [balls.of_generated])
    walk(fake, real, [balls.of_both])
    return balls.members


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
    return membership(generated, reference, k).values(k)


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

    together = staticmethod(in_one_pass)

    def of_real(self, real: FeatureSet) -> dict[str, Tensor]:
        """Return the squared radius of the ball of each real row, and lists of neighbours for the radii in subsets."""
        with torch.inference_mode():
            (cloud,) = clouds(validated(real.values, real.values)[1])
            # With so many on average in a subset, fewer than k of a row's list are in it about once in 100,000 times
            count = math.ceil((self.k + 6 * math.sqrt(self.k) + 4) / share_of_subsets((len(cloud), len(cloud))))
            if self.bootstrap < 2 or count > MOST:
                return {"reach": kth_squared_distance(cloud, self.k)}
            reach, neighbours = listed(cloud, self.k, count)
            return {"reach": reach, **neighbours._asdict()}

    def reader(self, generated: Cloud, real: Cloud, rng: np.random.Generator, known: Known) -> Reader:
        """Return what takes the tiles."""
        radii = Candidates(real, real, self.k)
        whole = Balls(generated, real, self.k, radii.kth if known is None else lambda: known["reach"])
        sizes = len(generated), len(real)
        drawn = subsets(sizes, rng, self.bootstrap, least=self.k + 1) if self.bootstrap >= 2 else []
        of_real = None if known is None or "numbers" not in known else Listed(known["squares"], known["numbers"])
        parts = [self._part(generated, real, numbers, of_real) for numbers in drawn]

        def each(name: str, tile: Tile) -> None:
            for balls in [whole, *parts]:
                getattr(balls, name)(tile)

        return Reader(
            lambda: self._estimates(whole.members, [part.members for part in parts]),
            partial(each, "of_generated"),
            radii.take if known is None else None,
            partial(each, "of_both"),
        )

    def _part(
        self, generated: Cloud, real: Cloud, numbers: tuple[np.ndarray, np.ndarray], neighbours: Listed | None
    ) -> Balls:
        of_generated, of_real = (torch.from_numpy(of).to(real.near.device) for of in numbers)

        def real_reach() -> Float[Tensor, " m"]:
            if neighbours is None:
                return kth_squared_distance(real.take(of_real), self.k)
            return kth_of_listed(real, self.k, of_real, neighbours)

        return Balls(generated, real, self.k, real_reach, of_generated, of_real)

    def _estimates(self, members: Membership, of_subsets: Sequence[Membership]) -> dict[str, Estimate]:
        values = members.values(self.k)
        if not of_subsets:
            return {name: Estimate(value) for name, value in values.items()}
        counts = {"precision": len(members.balls), "recall": len(members.recalled), "coverage": len(members.covered)}
        statistics = np.array([list(subset.values(self.k).values()) for subset in of_subsets])
        spread = error_of_subsets(statistics, (counts["precision"], counts["recall"]))
        errors = dict(zip(values, map(float, spread), strict=True))
        estimates = {name: share(values[name], n, errors[name]) for name, n in counts.items()}
        density, half = values["density"], Z * errors["density"]
        return {**estimates, "density": Estimate(density, max(0.0, density - half), density + half)}

    def __call__(
        self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator, known: Known = None
    ) -> Mapping[str, Estimate]:
        """Return `precision`, `recall`, `density` and `coverage`."""
        return in_one_pass([Task(self, generated, real, rng, known)])[0]
