"""Extrapolate the Fréchet distance to infinitely many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.fid import distance_and_influence, frechet_distance
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Comparison, Estimate, FeatureSet, Resamplings, Split


def fd_infinity(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rng: np.random.Generator, blocks: int = 3) -> float:
    """Return the intercept a of the least-squares line D_b = a + c b through the points b = 1 … blocks.

    D_b is the mean frechet_distance of b pairs of disjoint random blocks of x and y, with n/b and m/b rows each. The
    bias of the distance falls as 1/n. The number b is n over the rows of a block, so the points are evenly spaced in
    1/n.

    The paper draws its smaller sets at random, which adds the noise of the draw. Disjoint blocks that hold all rows
    have no such noise to first order: the mean over the blocks of any row-wise mean is that of all rows.

    The smallest block should have more rows than the features have effective dimensions. With fewer rows the points
    do not lie on a line, and a part of the distance's own bias remains.

    Args:
        x: generated features (n, d).
        y: reference features (m, d).
        rng: draws the blocks.
        blocks: the most blocks that the rows are cut into, 2 or more.

    Returns:
        A number in (-inf, inf). It is nearly unbiased: for sets of one distribution it lies around 0, and below 0
        about half of the time.

    Raises:
        UserError: as `validated`, blocks < 2, or fewer than 2 rows in a block.

    Source: Chong and Forsyth, arXiv:1911.07023.
    """
    x, y = validated_float64(x, y)
    return _extrapolated(frechet_distance(x, y), x, y, rng, blocks)


def _extrapolated(
    distance: float, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rng: np.random.Generator, blocks: int
) -> float:
    """Return the intercept; `distance` is D_1, that of all rows."""
    _check_blocks(blocks, len(x), len(y))
    means = [np.mean([frechet_distance(*pair) for pair in _pairs(x, y, b, rng)]) for b in range(2, blocks + 1)]
    return float(np.polynomial.Polynomial.fit(np.arange(1, blocks + 1), [distance, *means], 1)(0.0))


def _check_blocks(blocks: int, n: int, m: int) -> None:
    if blocks < 2:
        raise UserError(f"blocks = {blocks}, and has to be 2 or more, because a line takes 2 points")
    if min(n, m) < 2 * blocks:
        raise UserError(
            f"{blocks} blocks of 2 rows or more do not fit into sets of {n} and {m} rows: "
            f"raise n_samples to {2 * blocks} or more, or lower `blocks`"
        )


def _pairs(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], count: int, rng: np.random.Generator
) -> Iterator[tuple[Float[Tensor, "a d"], Float[Tensor, "b d"]]]:
    blocks = [torch.from_numpy(rng.permutation(len(rows))).to(rows.device).tensor_split(count) for rows in (x, y)]
    for rows_of_x, rows_of_y in zip(*blocks, strict=True):
        yield x[rows_of_x], y[rows_of_y]


@dataclass
class FDInfinity:
    """Measure `fd_infinity` of generated and reference features.

    The interval comes from the influence of each row on the distance of all rows. To first order this is its
    influence on the intercept, because the line's weights add up to 1, and every point holds every row once. The
    noise of the influence itself stays in: it doubles the variance that pairs of rows cause, and so does the line
    (see `intervals.without_noise_of_the_slope`).

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
        blocks: the most blocks that the rows are cut into; blocks (blocks + 1) / 2 distances are computed.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200
    blocks: Annotated[int, Ge(2)] = 3

    def check_run(self, comparison: Comparison) -> None:
        """Refuse blocks that do not fit into the sets."""
        _check_blocks(self.blocks, comparison.generated, comparison.real)

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `fd_infinity`."""
        pair = validated_float64(generated.values, real.values)
        with torch.inference_mode():
            distance, *influence = distance_and_influence(*pair)
            value = _extrapolated(distance, *pair, rng, self.blocks)
        return {"fd_infinity": around(value, influence, rng, self.bootstrap)}
