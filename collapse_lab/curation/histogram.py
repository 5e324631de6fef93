"""Generated images given the intensities of real ones: a control for drift of brightness and colour alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.images import as_float, as_uint8
from collapse_lab.types import Conditions, Extractor, Samples


def match_quantiles(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Q_target(F(v)) for each v of `values`, the monotone map that takes their distribution to `target`'s.

    F is the midpoint of v's rank among `values` (equal values stay equal), Q the quantile function of
    `target` by linear interpolation.

    Shapes: any, and any other; the result has the first.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / values.size
    ordered = np.sort(target, axis=None)
    middles = (np.arange(ordered.size) + 0.5) / ordered.size
    mapped: np.ndarray = np.interp(ranks, middles, ordered)[place].reshape(values.shape)
    return mapped


class MatchHistogram:
    """x -> Q_real(F_generated(x)) in each channel, over all pixels of all images at once.

    What is left of a change in FID after it is not one of overall brightness, contrast or colour. Rows keep
    their number, order and conditions; uint8 stays uint8, rounded, so there the quantiles agree to one level.

    Raises: UserError for data without channels, for no real images, or for NaN.
    """

    version: ClassVar[int] = 1
    needs_classifier: ClassVar[bool] = False

    def plan(self, conditions: Conditions) -> Conditions:
        """All of them."""
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """All rows, recoloured."""
        del scorer, rng
        if len(generated) == 0:
            return generated
        if generated.data.ndim != 4 or generated.data.shape[1:] != real.data.shape[1:] or len(real) == 0:
            raise UserError(
                "matching histograms needs generated and real images (n, c, h, w) of one shape, not "
                f"{tuple(generated.data.shape)} and {tuple(real.data.shape)}"
            )
        before, goal = as_float(generated.data).numpy(), as_float(real.data).numpy()
        if np.isnan(before).any():
            raise UserError("the generated images hold NaN, which has no intensity: the model has diverged")
        channels = [match_quantiles(before[:, c], goal[:, c]) for c in range(before.shape[1])]
        matched: Tensor = torch.from_numpy(np.stack(channels, axis=1).astype(np.float32))
        data = as_uint8(matched) if generated.data.dtype == torch.uint8 else matched
        return Samples(data, generated.labels, generated.captions)
