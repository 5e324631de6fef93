"""Drop the generated images that a classifier scores lowest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np

from collapse_lab.curation.dropping import DropLowest
from collapse_lab.errors import UserError
from collapse_lab.types import Conditions, Extractor, ProperShare, Samples

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """Describe an extractor that is a classifier."""

    def log_probabilities(self, samples: Samples) -> Tensor:
        """Return log p(class | x) of each of n samples, (n, classes)."""
        ...


class DropWorst(DropLowest):
    """Drop the images of lowest log p(label | x) of each (label, caption), as `DropLowest` says.

    Args:
        fraction: the share of the images of each condition to drop, in [0, 1).
        oversample: whether as many more images are sampled as are dropped.

    Raises:
        UserError: there is no classifier, a row has no label, or what `DropLowest` raises.
    """

    version: ClassVar[int] = 1
    needs_classifier: ClassVar[bool] = True

    def __init__(self, fraction: ProperShare = 0.2, oversample: bool = False) -> None:
        super().__init__(fraction, oversample)

    def check(self, asked: Conditions | Samples) -> None:
        """Refuse rows without a label."""
        if (asked.labels < 0).any():
            raise UserError(
                "dropping the worst images needs prompts that carry a label, and some of these carry none: "
                "choose another curation, such as drop_unlike, or prompts of single classes"
            )

    def scores(self, generated: Samples, scorer: Extractor | None) -> np.ndarray:
        """Return log p(label | x) of each image."""
        classifier: object = scorer
        if not isinstance(classifier, Scorer):
            raise UserError("dropping the worst images needs a classifier: add `classifier` to `features`")
        log_probabilities = classifier.log_probabilities(generated).double().numpy()
        chosen: np.ndarray = log_probabilities[np.arange(len(generated)), generated.labels]
        return chosen
