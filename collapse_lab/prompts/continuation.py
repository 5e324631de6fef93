"""The beginnings that a language model continues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import Everything
from collapse_lab.types import Captions, Conditions, Samples, Spec


@dataclass(frozen=True)
class Continuation(Everything):
    """All rows; condition i asks for what follows block i of the training data.

    So n samples are the continuations of the first n blocks, and every block is continued once where n is their number
    (arXiv:2305.17493, section 4.3).
    """

    def bind(self, spec: Spec) -> Continuation:
        """Itself. Raises UserError where the data are no tokens."""
        if spec.modality != "tokens":
            raise UserError(
                f"prompts that are continued are of texts, not of {spec.modality} {spec.shape}: give prompts=all, or a "
                "data set of texts such as dataset=python_docs"
            )
        return self

    def conditions(self, n: int, train: Samples, spec: Spec) -> Conditions:
        """The first n blocks, without labels or captions. Raises UserError for n below 1 or above their number."""
        self.bind(spec)
        if n < 1:
            raise UserError(f"a set of prompts needs a positive number of samples, got {n}: raise n_samples")
        if n > len(train):
            raise UserError(
                f"there are {len(train)} training blocks to continue, and n_samples asks for {n}: lower n_samples, or "
                "raise dataset.train"
            )
        return Conditions(np.full(n, -1, np.int64), Captions(), train.data[:n])
