"""Prompt set of the training blocks of some domains, which a language model continues."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.prompts.base import check_number
from collapse_lab.prompts.labels import Labels
from collapse_lab.types import Captions, Conditions, Rows, Samples, Spec


@dataclass(frozen=True)
class Domain(Labels):
    """Select the blocks of some labels; condition i asks for the text that follows one of their training blocks.

    The labels take turns, and each gives its first blocks: condition i continues block i // L of label i mod L, of L
    labels. A sample has the label of the block that it continues. `dataset=text_domains` labels blocks by their corpus.

    Args:
        labels: labels, each given by its number or by the word of its class; at least one.
        classes: the word of each label of the data set; `bind` fills them in.
        repeat: whether a label begins again with its first block where it has fewer blocks than samples are asked for.
            A block is then continued several times, with other random tokens each time, so give it to models that
            draw tokens (model.do_sample=true). Without it such a number of samples is refused.

    Raises:
        UserError: when there is no label.
    """

    repeat: bool = False

    def bind(self, spec: Spec) -> Domain:
        """Return a copy with the words of this data set.

        Raises:
            UserError: when the data are not tokens, or a label is unknown.
        """
        if spec.modality != "tokens" or not spec.classes:
            raise UserError(
                f"a prompt set of domains needs a data set of labelled texts, not one of {spec.modality} {spec.shape}: "
                "give dataset=text_domains"
            )
        bound = replace(self, classes=tuple(spec.classes))
        bound.numbers()
        return bound

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return conditions with training blocks of the labels as context, and their labels.

        Raises:
            UserError: when n is below 1, or a label has no training block, or fewer than its share of n and `repeat`
                is not given.
        """
        check_number(n)
        numbers = sorted(self.bind(spec).numbers())
        of_label = [np.flatnonzero(train.labels == number) for number in numbers]
        for number, rows in zip(numbers, of_label, strict=True):
            share = -(-n // len(numbers))
            if len(rows) < (1 if self.repeat else share):
                raise UserError(
                    f"domain '{spec.classes[number]}' has {len(rows)} training blocks to continue, and n_samples={n} "
                    f"asks for {share} of them: lower n_samples, raise dataset.train, or let blocks be continued "
                    "several times, prompts.sets.NAME.repeat=true"
                )
        turns = [(of_label[i % len(numbers)], i // len(numbers)) for i in range(n)]
        chosen = np.array([rows[turn % len(rows)] for rows, turn in turns], np.int64)
        return Conditions(train.labels[chosen], Captions(), train.take(chosen).data[:])
