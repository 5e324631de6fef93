"""Which weights a fit of a diffusion model keeps: the last ones, or those whose images lie nearest to real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from collapse_lab.errors import UserError
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import LARGEST, Conditions, Count, Rows, Samples, Times

Compared = Annotated[int, Ge(2), Le(LARGEST)]  # because a distribution has at least two rows


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Say when a fit samples images from the moving average of its weights, and how they are judged.

    The kernel inception distance (KID) of these images from the validation rows of the data set
    (`dataset.validation_fraction`) is computed in a feature space of the run, and the fit keeps the weights with the
    smallest one, as the study of flowers and birds of arXiv:2306.06130 does. Each look draws the same noise, so that a
    difference between two looks is the weights'. Training draws the numbers that it draws without looks.

    Args:
        every: The number of steps between two looks; the last weights are looked at in any case. None looks never, and
            the last weights are kept.
        features: The name of the feature space, one of the run's `features`.
        images: The number of images of a look; None means as many as there are validation rows.
        steps: The number of steps of the sampler in a look; None means those of `model.sampler`.

    Raises:
        UserError: there are looks without a feature space, or settings of looks and no looks.
    """

    version: ClassVar[int] = 1

    every: Count | None = None
    features: str | None = None
    images: Compared | None = None
    steps: Times | None = None

    def __post_init__(self) -> None:
        given = {name: value for name in ("features", "images", "steps") if (value := getattr(self, name)) is not None}
        if self.every is None and given:
            name, value = next(iter(given.items()))
            raise UserError(
                f"model.selection.{name}={value} says how weights are chosen, and model.selection.every=null keeps the "
                f"last ones; give model.selection.every, or model.selection.{name}=null"
            )
        if self.every is not None and self.features is None:
            raise UserError(
                f"model.selection.every={self.every} judges images every so many steps, and no feature space is named "
                "to judge them in; give model.selection.features, one of the run's features"
            )

    def sampler(self, usual: Sampler) -> Sampler:
        """Return the sampler of a look.

        Args:
            usual: The sampler of the model.
        """
        return usual if self.steps is None else replace(usual, steps=self.steps)

    def conditions(self, rows: Samples[Rows]) -> Conditions:
        """Return the conditions of the images of a look: those of validation rows, spread evenly over all of them.

        Args:
            rows: The validation rows.
        """
        n = self.images or len(rows)
        chosen = np.arange(n, dtype=np.int64) * len(rows) // n
        return Conditions(rows.labels[chosen], rows.captions.take(chosen))
