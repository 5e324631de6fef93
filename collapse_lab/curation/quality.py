"""The worst images left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np

from collapse_lab.curation.groups import groups
from collapse_lab.errors import UserError
from collapse_lab.types import Conditions, Extractor, Samples

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """An extractor that is a classifier."""

    def log_probabilities(self, samples: Samples) -> Tensor:
        """Log p(class | x), (n, classes)."""
        ...


class DropWorst:
    """Drops of the k images of each (label, caption) the floor(fraction · k) of the lowest log p(label | x).

    Stratified so that what remains of each condition is known before anything is generated. The result is
    ordered by condition, in the order of their first appearance, and keeps the order of rows within each; of
    equal scores the later row is dropped first.

    Raises: UserError where fraction lies outside [0, 1), there is no classifier, or a row has no label.
    """

    version: ClassVar[int] = 1
    needs_classifier: ClassVar[bool] = True

    def __init__(self, fraction: float = 0.2) -> None:
        if not 0 <= fraction < 1:
            raise UserError(f"the fraction of images to drop is {fraction}, and has to lie in [0, 1)")
        self.fraction = fraction

    def _remaining(self, count: int) -> int:
        # a whisker up, since 0.29 * 100 is 28.999999999999996
        return count - math.floor(self.fraction * count + 1e-9)

    def plan(self, conditions: Conditions) -> Conditions:
        """What remains of each condition."""
        _labelled(conditions.labels)
        rows = _joined([g[: self._remaining(len(g))] for g in groups(conditions.labels, conditions.captions)])
        return Conditions(conditions.labels[rows], conditions.captions.take(rows))

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """The best-scored of each condition."""
        del real, rng
        _labelled(generated.labels)
        if len(generated) == 0:
            return generated
        judge: object = scorer
        if not isinstance(judge, Scorer):
            raise UserError("dropping the worst images needs a classifier: add `classifier` to `features`")
        table = judge.log_probabilities(generated).double().numpy()
        score = table[np.arange(len(generated)), generated.labels]
        if np.isnan(score).any():
            raise UserError("the classifier gives NaN for some of the generated images: the model has diverged")
        kept = []
        for group in groups(generated.labels, generated.captions):
            best = np.argsort(-score[group], kind="stable")[: self._remaining(len(group))]
            kept.append(group[np.sort(best)])
        return generated.take(_joined(kept))


def _labelled(labels: np.ndarray) -> None:
    if (labels < 0).any():
        raise UserError(
            "dropping the worst images needs prompts that carry a label, and some of these carry none: "
            "choose another curation, or prompts of single classes"
        )


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])
