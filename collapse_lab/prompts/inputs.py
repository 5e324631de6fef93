"""Prompt set of inputs for which a regression model makes labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import check_number
from collapse_lab.prompts.labels import Labels
from collapse_lab.types import Captions, Conditions, Rows, Samples, Spec


@dataclass(frozen=True)
class Inputs(Labels):
    """Select the rows (x, y) of some labels; condition i asks for a label y of the x of the i-th such training row.

    The rows begin again after the last one. All replicas are given the same x, which the data set has to promise
    (dataset=linear_domains does).

    Args:
        labels: labels, each given by its number or by the word of its class; at least one.
        classes: the word of each label of the data set; `bind` fills them in.

    Raises:
        UserError: when there is no label.
    """

    def bind(self, spec: Spec) -> Labels:
        """Return a copy with the words of this data set.

        Raises:
            UserError: when a label is unknown, or the data are no points.
        """
        if spec.modality != "points":
            raise UserError(
                f"a prompt set of inputs needs points of inputs and a label, not samples of modality {spec.modality}: "
                "give dataset=linear_domains, or another prompt set"
            )
        return super().bind(spec)

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return n conditions with the inputs (n, d - 1) as context.

        Raises:
            UserError: when n is below 1, no training row has the labels, or replicas have inputs of their own.
        """
        check_number(n)
        rows = np.flatnonzero(self.bind(spec).member(train))
        if len(rows) == 0:
            raise UserError(f"no training row has labels={list(self.labels)}: give labels of the data set")
        chosen = train.take(rows[np.arange(n) % len(rows)]).gathered()
        inputs = chosen.data[..., :-1]
        if not bool((inputs == inputs[:, :1]).all()):
            raise UserError(
                "every replica has inputs of its own here, and a prompt set of inputs gives all of them the same: give "
                "dataset=linear_domains"
            )
        return Conditions(chosen.labels, Captions(), inputs[:, 0].contiguous())
