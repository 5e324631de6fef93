"""Drop the images of each condition that have the lowest scores, and sample more beforehand so that enough are left."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from collapse_lab.curation.groups import groups
from collapse_lab.errors import UserError
from collapse_lab.types import Conditions, Extractor, ProperShare, Samples

MOST = 0.99  # the largest share to drop where more is sampled for it


class DropLowest(ABC):
    """Drop the images of the lowest score: of the k images of each (label, caption), floor(fraction · k).

    Each condition is treated by itself, so what remains of it is known before anything is generated. The result is
    ordered by condition, in the order of first appearance. Within a condition the order of rows is kept. Of equal
    scores the later row is dropped first.

    If more images are sampled than are wanted, k of each condition are chosen out of the smallest number m for which
    m - floor(fraction · m) is k. Otherwise k images of a condition are sampled, and fewer are kept.

    Args:
        fraction: the share of the images of each condition to drop, in [0, 1).
        oversample: whether as many more images are sampled as are dropped.

    Raises:
        UserError: a score is NaN; a fraction above 0.99 with `oversample`.
    """

    version: ClassVar[int] = 1
    changes_samples: ClassVar[bool] = True
    gathers: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def __init__(self, fraction: ProperShare = 0.2, oversample: bool = False) -> None:
        if oversample and fraction > MOST:
            raise UserError(
                f"curation.fraction={fraction} with curation.oversample=true would sample more than 100 images for "
                f"each that is kept; give a fraction of {MOST} or less"
            )
        self.fraction, self.oversample = fraction, oversample

    def _remaining(self, count: int) -> int:
        # 0.29 * 100 is 28.999999999999996, so add a little before rounding down
        return count - math.floor(self.fraction * count + 1e-9)

    def _to_sample(self, kept: int) -> int:
        """Return the smallest number of images of which so many remain."""
        count = kept + math.floor(self.fraction * kept / (1 - self.fraction))
        while self._remaining(count) < kept:
            count += 1
        while count > kept and self._remaining(count - 1) >= kept:
            count -= 1
        return count

    def check_conditions(self, conditions: Conditions) -> None:
        """Refuse conditions of which no image would be dropped, because the step would then do nothing.

        Args:
            conditions: the images that are sampled.

        Raises:
            UserError: the share is less than one image of every condition.
        """
        counts = [len(g) for g in groups(conditions.labels, conditions.captions)]
        if self.fraction and counts and all(self._remaining(count) == count for count in counts):
            raise UserError(
                f"curation.fraction={self.fraction} is a share of the images of each pair of label and caption, and "
                f"none of the {len(counts)} pairs has more than {max(counts)}, so that no image would be dropped; give "
                "a larger fraction, more images (n_samples), or one caption for each label"
            )

    def enlarge(self, conditions: Conditions) -> Conditions:
        """Return the conditions to sample so that these remain: these, and then more of each."""
        if not self.oversample:
            return conditions
        more = [np.resize(g, self._to_sample(len(g)) - len(g)) for g in groups(conditions.labels, conditions.captions)]
        rows = _join([np.arange(len(conditions)), *more])
        return conditions.take(rows)

    def plan(self, conditions: Conditions) -> Conditions:
        """Return what remains of each condition."""
        self.check(conditions)
        rows = _join([g[: self._remaining(len(g))] for g in groups(conditions.labels, conditions.captions)])
        return conditions.take(rows)

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """Return the images of each condition with the highest scores."""
        del real, rng
        self.check(generated)
        if len(generated) == 0:
            return generated
        scores = self.scores(generated, scorer)
        if np.isnan(scores).any():
            raise UserError(
                "dropping the worst images needs finite scores, and some of the generated images have NaN: the model "
                "has diverged; lower its learning rate"
            )
        kept = []
        for rows in groups(generated.labels, generated.captions):
            best = np.argsort(-scores[rows], kind="stable")[: self._remaining(len(rows))]
            kept.append(rows[np.sort(best)])
        return generated.take(_join(kept))

    @abstractmethod
    def check(self, asked: Conditions | Samples) -> None:
        """Refuse conditions, or samples of them, that have no score."""

    @abstractmethod
    def scores(self, generated: Samples, scorer: Extractor | None) -> np.ndarray:
        """Return the score of each of n images, (n,), higher for better ones."""


def _join(groups_of_rows: list[np.ndarray]) -> np.ndarray:
    # np.concatenate refuses an empty list, so start with no row
    return np.concatenate([np.zeros(0, np.int64), *groups_of_rows])
