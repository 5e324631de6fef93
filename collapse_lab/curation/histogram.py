"""Give generated images the intensities of real ones: a control for drift of brightness and colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from collapse_lab.curation.quantiles import (
    Quantiles,
    batches,
    counts_of,
    match_levels,
    match_quantiles,
    quantiles_of,
)
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.types import Conditions, Extractor, Rows, Samples, Spec


class MatchHistogram:
    """Map the intensities of generated images to those of real images: x -> Q_real(F_generated(x)).

    There is one map for each channel. A change in FID that remains after this step is not a change of brightness,
    contrast or colour. Rows keep their number, their order and their conditions. Data of type uint8 stay uint8: they
    are rounded, so their quantiles agree to one level.

    Images of type uint8 are read part by part and counted by level, so the memory that this takes does not grow with
    the number of real images.

    Args:
        over: which pixels share a map. `pool`: those of all images. `group`: those of the images of one label, which
            are mapped to the real images of that label. `image`: those of one image, which is mapped to one real image
            of its label. The real images of a label are drawn without replacement, and again once each was drawn.

    Raises:
        UserError: the data have no channels, there are no real images (of a label), or the generated images hold NaN.
    """

    version: ClassVar[int] = 1
    changes_samples: ClassVar[bool] = True
    gathers: ClassVar[bool] = True
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

    def apply(
        self, generated: Samples, real: Samples[Rows], scorer: Extractor | None, rng: np.random.Generator
    ) -> Samples:
        """Return all rows with the intensities of the real images."""
        del scorer
        if len(generated) == 0:
            return generated
        if generated.data.ndim != 4 or generated.data.shape[1:] != real.data.shape[1:] or len(real) == 0:
            raise UserError(
                "matching histograms needs generated and real images (n, c, h, w) of one shape; got "
                f"{tuple(generated.data.shape)} and {tuple(real.data.shape)}; choose curation=none for other data"
            )
        before = generated.data if generated.data.dtype == torch.uint8 else as_float(generated.data)
        if before.is_floating_point() and bool(before.isnan().any()):
            raise UserError(
                "matching histograms needs finite intensities, and the generated images hold NaN: the model has "
                "diverged; lower its learning rate"
            )
        after = torch.empty_like(before)
        match = _match_levels if before.dtype == torch.uint8 else _match_values
        for rows, goals in self._pairs(generated.labels, real.labels, rng):
            match(before, after, rows, quantiles_of(real.data, goals))
        return Samples(after, generated.labels, generated.captions)

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


def _match_levels(before: Tensor, after: Tensor, rows: np.ndarray, goals: Iterator[Quantiles]) -> None:
    """Write images of type uint8 with the quantiles of their goals, channel by channel, to their places."""
    tables = [match_levels(counts, goal) for counts, goal in zip(counts_of(before, rows), goals, strict=True)]
    images, mapped = before.numpy(), after.numpy()
    for part in batches(rows, math.prod(before.shape[1:])):
        for c, table in enumerate(tables):
            mapped[part, c] = table[images[part, c]]


def _match_values(before: Tensor, after: Tensor, rows: np.ndarray, goals: Iterator[Quantiles]) -> None:
    """Write images of type float32 with the quantiles of their goals, channel by channel, to their places."""
    images, mapped = before.numpy(), after.numpy()
    for c, goal in enumerate(goals):
        mapped[rows, c] = match_quantiles(images[rows, c], goal)
