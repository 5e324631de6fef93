"""Fréchet distance extrapolated to infinitely many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.fid import _distance, frechet_distance
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split


def fd_infinity(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rng: np.random.Generator, blocks: int = 3) -> float:
    """The intercept a of the least-squares line D_b = a + c b through the points b = 1 … blocks.

    D_b is the mean frechet_distance of b pairs of disjoint random blocks of x and y, n/b and m/b rows each. The
    bias of the distance falls as 1/n, so b, which is n over the rows of a block, is an even spacing in 1/n.

    The paper draws its smaller sets at random, which adds the noise of the draw. Blocks that add up to the whole
    have none to first order: the mean over them of any row-wise mean is that of all rows.

    Range: (-inf, inf): nearly unbiased, so around 0, and below it about half of the time, for sets of one
        distribution. The smallest block should have more rows than the features have effective dimensions; with
        fewer the line is no line, and what is left of the bias is a part of the distance's own.
    Raises: UserError as `checked`, for blocks < 2, and for fewer than 2 rows in a block.
    Source: Chong and Forsyth, arXiv:1911.07023.
    """
    x, y = checked(x, y)
    return _extrapolated(frechet_distance(x, y), x, y, rng, blocks)


def _extrapolated(
    whole: float, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rng: np.random.Generator, blocks: int
) -> float:
    """The intercept, `whole` being D_1."""
    if blocks < 2:
        raise UserError(f"blocks = {blocks}, and a line takes 2 points or more")
    if min(len(x), len(y)) < 2 * blocks:
        raise UserError(
            f"{blocks} blocks of 2 rows or more were asked for in sets of {len(x)} and {len(y)} rows: "
            f"raise n_samples to {2 * blocks} or more, or lower `blocks`"
        )
    means = [np.mean([frechet_distance(*pair) for pair in _pairs(x, y, b, rng)]) for b in range(2, blocks + 1)]
    return float(np.polynomial.Polynomial.fit(np.arange(1, blocks + 1), [whole, *means], 1)(0.0))


def _pairs(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], count: int, rng: np.random.Generator
) -> Iterator[tuple[Float[Tensor, "a d"], Float[Tensor, "b d"]]]:
    parts = [torch.from_numpy(rng.permutation(len(rows))).to(rows.device).tensor_split(count) for rows in (x, y)]
    for some, others in zip(*parts, strict=True):
        yield x[some], y[others]


@dataclass
class FDInfinity:
    """fd_infinity of generated and reference features.

    Its interval is from each row's influence on the distance at all rows, which is to first order that on the
    intercept: the line's weights add up to 1, and every point holds every row once. The noise of the influence itself
    is left in: it doubles the variance that is of pairs of rows, and so does the line (`without_noise_of_the_slope`).

    blocks: the most blocks that the rows are cut into; blocks (blocks + 1) / 2 distances are computed.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200
    blocks: int = 3

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`fd_infinity`."""
        pair = checked(generated.values, real.values)
        with torch.inference_mode():
            whole, *influence = _distance(*pair)
            value = _extrapolated(whole, *pair, rng, self.blocks)
        return {"fd_infinity": around(value, influence, rng, self.bootstrap)}
