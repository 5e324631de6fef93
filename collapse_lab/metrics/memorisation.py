"""Measure whether generated rows are copies of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.clouds import Cloud, clouds
from collapse_lab.metrics.intervals import wilson
from collapse_lab.metrics.neighbours import Candidates, kth_squared_distance
from collapse_lab.metrics.tiles import Known, Reader, in_one_pass, pair, walk
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Comparison, Estimate, FeatureSet, Split, Task

NEAR = 1 / 3  # the greatest d1 / d2 of a near copy
MOST = 32_768  # the most training rows that are compared with each other, which takes as long as one call of the metric


class _Copies:
    """Find the nearest training rows of generated rows, tile by tile.

    Args:
        generated: the generated rows.
        train: the training rows.
        known: what `Memorisation.of_real` returned for them, where it is known.
    """

    def __init__(self, generated: Cloud, train: Cloud, known: Known) -> None:
        self._train, self._known = train, known or {}
        self._distinct = self._known["distinct"] if known else distinct_rows(train.rows)
        repeated = len(self._distinct) < len(train)
        self._nearest = Candidates(generated, train, 2, of_b=self._distinct if repeated else None)
        self.take = self._nearest.take

    def flags(self) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
        """Return for each generated row whether it is authentic, and whether it is a near copy, after all tiles."""
        squares, index = self._nearest.nearest()
        if "apart" in self._known:
            apart = self._known["apart"][index[:, 0]]
        else:
            hit, back = torch.unique(index[:, 0], return_inverse=True)
            rows, distinct = self._train.take(self._distinct[hit]), _only(self._train, self._distinct)
            others = Candidates(rows, distinct, 2)
            walk(rows, distinct, [others.take])
            apart = others.nearest()[0][:, 1][back]  # the second nearest, since the nearest is the row itself
        return squares[:, 0] > apart, squares[:, 0] <= NEAR**2 * squares[:, 1]


def distinct_rows(train: Float[Tensor, "m d"]) -> Int[Tensor, " r"]:
    """Return the number of the first row of each kind of equal rows, rising.

    A training row that occurs twice would be its own second nearest, so no copy of it would count as near.

    Raises:
        UserError: all rows are equal.
    """
    kinds, kind = torch.unique(train, dim=0, return_inverse=True)
    if len(kinds) < 2:
        raise UserError(
            "all rows of the training set are the same in these features, so no distance between them says "
            "what near is: take other features"
        )
    numbers = torch.arange(len(train), device=train.device)
    first = numbers.new_full((len(kinds),), len(train)).scatter_reduce(0, kind, numbers, "amin")
    return first.sort().values


def _only(cloud: Cloud, rows: Int[Tensor, " r"]) -> Cloud:
    return cloud if len(rows) == len(cloud) else cloud.take(rows)


def memorisation(generated: Float[Tensor, "n d"], train: Float[Tensor, "m d"]) -> dict[str, float]:
    """Return two shares of generated rows g, with t1 and t2 the nearest and second nearest training row of g.

    authenticity = mean over g of 1[|g - t1| > distance of t1 to its nearest other training row]
    near_copies  = mean over g of 1[|g - t1| <= |g - t2| / 3]; an exact copy is a near copy

    Equal training rows count as one row, so a copy of a row that occurs twice is a copy.

    Args:
        generated: generated features (n, d).
        train: features of the training rows (m, d).

    Returns:
        Shares in [0, 1]. A generator that copies has authenticity 0 and near_copies 1. Held-out rows have an
        authenticity of about 1/2 to 1, and near_copies near 0 in many dimensions: compare with the floor.

    Raises:
        UserError: as `validated`, or all training rows are equal.

    Source: Alaa et al., arXiv:2102.08921, section 4.3; Yoon et al., "Diffusion probabilistic models generalize when
    they fail to memorize" (2023) and arXiv:2310.02664, section 2.
    """
    fake, real = pair(generated, train)
    copies = _Copies(fake, real, None)
    walk(fake, real, [copies.take])
    authentic, near = copies.flags()
    return {"authenticity": float(authentic.double().mean()), "near_copies": float(near.double().mean())}


@dataclass
class Memorisation:
    """Measure `memorisation` of generated features against the training rows, with Wilson's intervals.

    The training rows are fixed, because they are what the model may have memorised. So the intervals describe other
    rows that the same model generates. The floor is that of held-out real rows.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "train"
    features: Sequence[str] | None = None

    def check_run(self, comparison: Comparison) -> None:
        """Refuse training rows that are all the same."""
        if not comparison.varied:
            raise UserError("all real rows are the same, so no distance between them says what near is: leave it out")

    together = staticmethod(in_one_pass)

    def of_real(self, real: FeatureSet) -> dict[str, Tensor]:
        """Return which training rows are distinct, and the squared distance of each from the nearest other one.

        The distances are left out where there are so many training rows that computing them all takes longer than
        computing, in every generation, those of the rows that are nearest to a generated one.
        """
        with torch.inference_mode():
            train = validated(real.values, real.values)[1]
            distinct = distinct_rows(train)
            if len(distinct) > MOST:
                return {"distinct": distinct}
            (cloud,) = clouds(train)
            return {"distinct": distinct, "apart": kth_squared_distance(_only(cloud, distinct), 1)}

    def reader(self, generated: Cloud, real: Cloud, rng: np.random.Generator, known: Known) -> Reader:
        """Return what takes the tiles."""
        del rng  # because Wilson's interval draws nothing
        copies = _Copies(generated, real, known)

        def finish() -> Mapping[str, Estimate]:
            flags = dict(zip(("authenticity", "near_copies"), copies.flags(), strict=True))
            return {name: wilson(int(flag.sum()), len(flag)) for name, flag in flags.items()}

        return Reader(finish, of_both=copies.take)

    def __call__(
        self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator, known: Known = None
    ) -> Mapping[str, Estimate]:
        """Return `authenticity` and `near_copies`."""
        return in_one_pass([Task(self, generated, real, rng, known)])[0]
