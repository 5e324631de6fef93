"""Passages of a data set of the Hugging Face hub whose rows are single sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collapse_lab.datasets.hub_text import HubText
from collapse_lab.errors import UserError
from collapse_lab.types import Count


@dataclass(kw_only=True, eq=False)
class HubPassages(HubText):
    """Read passages of consecutive rows of a data set on the hub, or in a folder; a document is a passage.

    It is meant for texts of which a row is a sentence, such as BookCorpus. As documents of their own, sentences would
    be shuffled, and a block would hold those of many books. The licence is the data set's own and stands on its card.

    Args:
        sentences: consecutive rows that are joined with spaces to one passage.
        passages: how many passages of a split are read, at even distances, so that they come from all of it. None reads
            all, which for the 74 million sentences of BookCorpus takes many gigabytes of memory.

    The other arguments are those of `HubText`.

    Raises:
        UserError: when an argument is out of its range.
    """

    sentences: Count = 32
    passages: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, number in (("sentences", self.sentences), ("passages", self.passages)):
            if number is not None and number < 1:
                raise UserError(f"dataset.{name} is 1 or more; got {number}")

    def chosen(self, rows: int) -> Sequence[int]:
        """Return the numbers of the rows of the passages, one passage after another."""
        starts = range(0, rows, self.sentences)
        if self.passages is None or self.passages >= len(starts):
            return range(rows)
        # Passages at even distances never include the last one, which alone may be shorter
        places = [starts[k * len(starts) // self.passages] for k in range(self.passages)]
        return [row for start in places for row in range(start, start + self.sentences)]

    def read(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the passages, each as its rows joined to one text."""
        return [" ".join(rows[start : start + self.sentences]) for start in range(0, len(rows), self.sentences)]
