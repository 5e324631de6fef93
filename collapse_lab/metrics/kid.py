"""Compute the squared maximum mean discrepancy under a cubic kernel (KID)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.clouds import Cloud, clouds
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.kernels import Kernel, KernelMeans, discrepancy, means_among
from collapse_lab.metrics.tiles import Known, Reader, in_one_pass
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split, Task


def _cubic(d: int) -> Kernel:
    def kernel(products: Tensor) -> Tensor:
        base = products.div_(d).add_(1)
        return base.square().mul_(base)

    return kernel


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Return E k(x_i, x_j) + E k(y_i, y_j) - 2 E k(x_i, y_j), with k(a, b) = (a·b/d + 1)³.

    The first two means are over pairs with i != j, the third is over all n m pairs. This is the unbiased estimate of
    squared MMD from every pair of rows. The customary mean over random subsets of 1,000 rows estimates the same
    number with more noise.

    Args:
        x: generated features (n, d).
        y: reference features (m, d).

    Returns:
        A number in (-inf, inf). It is unbiased: for sets of one distribution it lies around 0, and below 0 half of
        the time.

    Raises:
        UserError: as `validated`.

    Source: Bińkowski et al., arXiv:1801.01401.
    """
    return discrepancy(*validated(x, y), _cubic(x.shape[1])).value


@dataclass
class KID:
    """Measure `kernel_distance` of generated and reference features, with an interval from what each row contributes.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
    """

    version: ClassVar[int] = 2
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200

    together = staticmethod(in_one_pass)

    def of_real(self, real: FeatureSet) -> dict[str, Tensor]:
        """Return the mean of the kernel over the other real rows, of each real row."""
        with torch.inference_mode():
            (cloud,) = clouds(validated(real.values, real.values)[1])
            return {"means": means_among(cloud, _cubic(real.values.shape[1]))}

    def reader(self, generated: Cloud, real: Cloud, rng: np.random.Generator, known: Known) -> Reader:
        """Return what takes the tiles."""
        yy = None if known is None else known["means"]
        means = KernelMeans(generated, real, _cubic(real.near.shape[1]), yy)

        def finish() -> Mapping[str, Estimate]:
            found = means.discrepancy()
            return {"kid": around(found.value, found.contributions, rng, self.bootstrap)}

        return Reader(finish, means.of_first, means.of_second if known is None else None, means.of_both)

    def __call__(
        self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator, known: Known = None
    ) -> Mapping[str, Estimate]:
        """Return `kid`."""
        return in_one_pass([Task(self, generated, real, rng, known)])[0]
