"""Prompt set of training pictures that a model draws anew under their own captions: image-to-image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Everything, check_number
from collapse_lab.types import Conditions, Rows, Samples, Spec


@dataclass(frozen=True)
class Pictures(Everything):
    """Select all rows; condition i gives a training picture, with its label and its caption, to start from.

    The labels take turns, and so do the pictures of each label: the first ones of each label in the order of the rows.
    So the counts of two labels differ by at most one in every prefix. A family that starts from pictures says how much
    of them it keeps (`model.strength` of stable_diffusion). Samples that a curation draws beside these ones, because it
    drops some, start from the same pictures again.
    """

    def bind(self, spec: Spec) -> Pictures:
        """Return this set.

        Raises:
            UserError: when the data are not images.
        """
        if spec.modality != "image":
            raise UserError(
                f"prompts=pictures needs a data set of images, not one of {spec.modality} {spec.shape}: give "
                "prompts=all"
            )
        return self

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return n conditions with the pictures, (n, c, h, w) uint8, as context, gathered when they are asked for.

        Raises:
            UserError: when n is below 1, or the data are not images.
        """
        self.bind(spec)
        check_number(n)
        rows = self.rows(n, train.labels)
        chosen = train.take(rows)
        return Conditions(chosen.labels, chosen.captions, chosen.data, rows)

    def rows(self, n: int, labels: np.ndarray) -> np.ndarray:
        """Return the numbers (n,) of the training rows that the conditions start from.

        Args:
            n: number of conditions.
            labels: (m,), the labels of all training rows.
        """
        of_label = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        turns = (divmod(i, len(of_label)) for i in range(n))
        return np.array([of_label[k][turn % len(of_label[k])] for turn, k in turns], np.int64)
