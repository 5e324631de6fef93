"""Give generated images the intensities of real ones: a control for drift of brightness and colour alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.images import as_float, as_uint8
from collapse_lab.types import Conditions, Extractor, Samples, Spec


def match_quantiles(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return Q_target(F(v)) for each v of `values`.

    This is the monotone map that takes the distribution of `values` to the distribution of `target`. F(v) is the
    midpoint of the rank of v among `values`, so equal values stay equal. Q_target is the quantile function of
    `target`, by linear interpolation.

    Args:
        values: the numbers to map, of any shape.
        target: the numbers whose distribution is wanted, of any shape, at least one number.

    Returns:
        The mapped numbers, of the shape of `values`.
    """
    _, distinct, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / values.size
    ordered = np.sort(target, axis=None)
    middles = (np.arange(ordered.size) + 0.5) / ordered.size
    mapped: np.ndarray = np.interp(ranks, middles, ordered)[distinct].reshape(values.shape)
    return mapped


class MatchHistogram:
    """Map the intensities of generated images to those of real images: x -> Q_real(F_generated(x)).

    There is one map for each channel. A change in FID that remains after this step is not a change of brightness,
    contrast or colour. Rows keep their number, their order and their conditions. Data of type uint8 stay uint8: they
    are rounded, so their quantiles agree to one level.

    Args:
        over: which pixels share a map. `pool`: those of all images. `group`: those of the images of one label, which
            are mapped to the real images of that label. `image`: those of one image, which is mapped to one real image
            of its label. The real images of a label are drawn without replacement, and again once each was drawn.

    Raises:
        UserError: the data have no channels, there are no real images (of a label), or the generated images hold NaN.
    """

    version: ClassVar[int] = 1
    changes_samples: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def __init__(self, over: Literal["pool", "group", "image"] = "pool") -> None:
        self.over = over

    def check_run(self, spec: Spec) -> None:
        """Refuse data that are no images."""
        if spec.modality != "image":
            raise UserError(
                f"matching histograms needs images, and this data set holds {spec.modality}; give curation=none"
            )

    def plan(self, conditions: Conditions) -> Conditions:
        """Return all conditions."""
        return conditions

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """Return all rows with the intensities of the real images."""
        del scorer
        if len(generated) == 0:
            return generated
        if generated.data.ndim != 4 or generated.data.shape[1:] != real.data.shape[1:] or len(real) == 0:
            raise UserError(
                "matching histograms needs generated and real images (n, c, h, w) of one shape; got "
                f"{tuple(generated.data.shape)} and {tuple(real.data.shape)}; choose curation=none for other data"
            )
        before, goal = as_float(generated.data).numpy(), as_float(real.data).numpy()
        if np.isnan(before).any():
            raise UserError(
                "matching histograms needs finite intensities, and the generated images hold NaN: the model has "
                "diverged; lower its learning rate"
            )
        after = np.empty_like(before)
        for rows, goals in self._pairs(generated.labels, real.labels, rng):
            for c in range(before.shape[1]):
                after[rows, c] = match_quantiles(before[rows, c], goal[goals, c])
        matched: Tensor = torch.from_numpy(after)
        data = as_uint8(matched) if generated.data.dtype == torch.uint8 else matched
        return Samples(data, generated.labels, generated.captions)

    def _pairs(
        self, labels: np.ndarray, real: np.ndarray, rng: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the numbers of generated images, and those of the real images that they are mapped to."""
        if self.over == "pool":
            yield np.arange(len(labels)), np.arange(len(real))
            return
        for label in np.unique(labels):
            rows, goals = np.flatnonzero(labels == label), np.flatnonzero(real == label)
            if len(goals) == 0:
                raise UserError(
                    f"curation.over={self.over} maps images of label {label} to real ones of this label, and there are "
                    "none; give curation.over=pool"
                )
            if self.over == "group":
                yield rows, goals
                continue
            rounds = -(-len(rows) // len(goals))
            drawn = np.concatenate([rng.permutation(goals) for _ in range(rounds)])
            for row, chosen in zip(rows, drawn, strict=False):
                yield np.array([row]), np.array([chosen])
