"""Squared maximum mean discrepancy under a Gaussian kernel, of directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.directions import directions
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.kernels import Discrepancy, discrepancy
from collapse_lab.metrics.pairs import valid
from collapse_lab.types import Estimate, FeatureSet, Split

SCALE = 1000  # the paper's, "for readability"


def _discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], sigma: float) -> Discrepancy:
    if not 0 < sigma < float("inf"):
        raise UserError(f"sigma is {sigma}, and the width of a Gaussian kernel is a finite number above 0")

    def kernel(products: Tensor) -> Tensor:
        return products.sub_(1).div_(sigma**2).exp_()  # |a - b|² = 2 - 2 a·b between unit vectors

    first, second = directions(x, y)
    return discrepancy(first, second, kernel)


def cmmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], sigma: float = 10.0) -> float:
    """1000 (E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j)), k(a, b) = exp(-|a - b|² / (2 sigma²)), of x_i / |x_i|.

    Means over pairs with i != j, the third over all n m: the unbiased estimate. The paper's code takes i = j along,
    which adds 1000 ((1 - E k(x_i, x_j)) / n + (1 - E k(y_i, y_j)) / m): nothing to speak of at its 30,000 rows, and
    more than most differences at 600, where it would also move with the variety of x, the thing to be measured.

    Range: (-inf, 4000]: unbiased, so around 0, and below it half of the time, for sets of one distribution. With
        sigma = 10 and unit vectors, close to 10 |mean x - mean y|².
    Raises: UserError as `valid`, and for sigma <= 0.
    Source: Jayasumana et al., arXiv:2401.09603, of CLIP's embeddings of images.
    """
    return SCALE * _discrepancy(*valid(x, y), sigma).value


@dataclass
class CMMD:
    """cmmd of generated and reference features, its interval from what each row contributes."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200
    sigma: float = 10.0

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`cmmd`."""
        with torch.inference_mode():
            found = _discrepancy(*valid(generated.values, real.values), self.sigma)
        scaled = [SCALE * part for part in found.contributions]
        return {"cmmd": around(SCALE * found.value, scaled, rng, self.bootstrap)}
