"""Prompt set of training blocks that a language model continues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Everything, check_number
from collapse_lab.types import Captions, Conditions, Rows, Samples, Spec


@dataclass(frozen=True)
class Continuation(Everything):
    """Select all rows; condition i asks for the text that follows block i of the training data.

    So n samples are the continuations of the first n blocks. If n is the number of blocks, every block is continued
    once (arXiv:2305.17493, section 4.3).
    """

    def bind(self, spec: Spec) -> Continuation:
        """Return this set.

        Raises:
            UserError: when the data are not tokens.
        """
        if spec.modality != "tokens":
            raise UserError(
                f"prompts=continuation needs a data set of texts, not one of {spec.modality} {spec.shape}: give "
                "prompts=all, or a data set of texts such as dataset=python_docs"
            )
        return self

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return conditions with the first n blocks as context, without labels or captions.

        Raises:
            UserError: when n is below 1 or above the number of training blocks.
        """
        self.bind(spec)
        check_number(n)
        if n > len(train):
            raise UserError(
                f"there are {len(train)} training blocks to continue, and n_samples asks for {n}: lower n_samples, or "
                "raise dataset.train"
            )
        return Conditions(np.full(n, -1, np.int64), Captions(), train.data[:n])
