"""The questions of the AI2 Reasoning Challenge, a text data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collapse_lab.datasets.hub_text import HubText
from collapse_lab.errors import UserError

CHOICES, KEY = "choices", "answerKey"


@dataclass(kw_only=True, eq=False)
class ARC(HubText):
    """Read questions of science tests at school, each with its right answer; a document is a question.

    The authors are Clark et al. (arXiv:1803.05457); the licence is CC BY-SA 4.0. ARC-Easy has 2,251 questions for
    training, ARC-Challenge 1,119. The data come from the hub or from a folder that `save_to_disk` wrote, and need the
    extra `hub`. The arguments are those of `HubText`; `column` is that of the question.

    Raises:
        UserError: as `HubText` does, and when there are several columns.
    """

    name: str = "allenai/ai2_arc"
    revision: str | None = "main"
    subset: str | None = "ARC-Easy"
    column: str | Sequence[str] = "question"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.column, str):
            raise UserError(f"ARC has one column of questions; got {list(self.column)}: give column=question")

    def read_columns(self) -> list[str]:
        """Return the columns of the question, of the choices, and of the label of the right one."""
        return [*super().read_columns(), CHOICES, KEY]

    def text_of(self, cells: Mapping[str, Any], where: str) -> str:
        """Return the question and the text of its right answer, with a line break between them.

        Raises:
            UserError: the choices have no such label, or a text is none.
        """
        choices, key = cells[CHOICES], cells[KEY]
        try:
            answer = choices["text"][choices["label"].index(key)]
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            raise UserError(
                f"{where} has no choice that is labelled {key!r}, in {choices!r}: give a copy of allenai/ai2_arc, in "
                f"which the column {CHOICES} holds texts and labels"
            ) from error
        question = super().read_columns()[0]
        return super().text_of({question: cells[question], CHOICES: answer}, where)
