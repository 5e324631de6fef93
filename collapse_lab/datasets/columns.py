"""Labels and captions from table columns, and images of one shape from pictures that are read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from collapse_lab.datasets.picture import BadPicture
from collapse_lab.errors import UserError, did_you_mean

OnBad = Literal["refuse", "skip"]


def ranked(values: Sequence[Any], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels and their words, from a column of words or of whole numbers.

    Words are sorted by their spelling, numbers by their size; the label is the place in that order.

    Args:
        values: n cells of the column.
        where: name of the table, for messages.

    Returns:
        Labels (n,) int64 and the word of each label. The word of a number is its digits.

    Raises:
        UserError: when a cell is empty.
    """
    texts = ["" if value is None else str(value).strip() for value in values]
    if "" in texts:
        raise UserError(f"row {texts.index('')} of {where} has no label: fill it in, or set label_column to null")
    distinct = set(texts)
    numeric = all(text.lstrip("-").isdigit() for text in distinct)
    words = sorted(distinct, key=int) if numeric else sorted(distinct)
    number = {word: i for i, word in enumerate(words)}
    return np.array([number[text] for text in texts], np.int64), tuple(words)


def column(table: dict[str, list[Any]], name: str, where: str) -> list[Any]:
    """Return the cells of a column.

    Args:
        table: column name -> cells.
        name: name of the column.
        where: name of the table, for messages.

    Raises:
        UserError: when the table has no such column; the message names the most similar one.
    """
    if name not in table:
        raise UserError(f"{where} should have a column '{name}', it has {sorted(table)}: {did_you_mean(name, table)}")
    return table[name]


@dataclass
class GatheredImages:
    """Gather images of one shape one by one, and refuse or leave out the pictures that cannot be read.

    Args:
        on_bad: "refuse" raises UserError at the first picture that cannot be read, "skip" leaves it out.
        block: (n, c, h, w) uint8, whose first rows become the images that are kept.
        kept: row number of each image.
        skipped: name of each picture that was left out, and the reason.
    """

    on_bad: OnBad
    block: np.ndarray
    kept: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, row: int, name: str, image: np.ndarray | BadPicture) -> None:
        """Take over an image, or refuse or leave out a picture that cannot be read.

        Args:
            row: row number of the image.
            name: name of the picture, for messages.
            image: (c, h, w) uint8, or why it cannot be read.

        Raises:
            UserError: when its shape differs from that of the first image, or it cannot be read and on_bad is "refuse".
        """
        if isinstance(image, BadPicture):
            self._add_bad(name, image)
            return
        if image.shape != self.block.shape[1:]:
            raise UserError(
                f"{name} has shape {image.shape}, the pictures before it {self.block.shape[1:]}: "
                "set image_size to bring all to one size"
            )
        self.block[len(self.kept)] = image
        self.kept.append(row)

    def _add_bad(self, name: str, reason: BadPicture) -> None:
        if self.on_bad == "refuse":
            raise UserError(
                f"the picture {name} cannot be read ({reason}): replace it, or set on_bad=skip to leave it out"
            )
        self.skipped.append(f"{name}: {reason}")

    def finished(self, where: str) -> tuple[int, dict[str, np.ndarray]]:
        """Return the number of images, their row numbers `kept`, (n,) int64, and the texts `skipped`.

        Args:
            where: name of the folder or data set, for messages.

        Raises:
            UserError: when there is no image.
        """
        if not self.kept:
            raise UserError(f"{where} holds no picture that can be read: give another folder or data set")
        return len(self.kept), {"kept": np.array(self.kept, np.int64), "skipped": np.array(self.skipped, str)}


def captions_column(values: Iterable[Any]) -> list[str]:
    """Return the captions of a column without outer spaces; an empty cell becomes the empty caption."""
    return ["" if value is None else str(value).strip() for value in values]
