"""Labels and captions from table columns, and images of one shape from pictures that are read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

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
        images: images so far, each (c, h, w) uint8.
        kept: row number of each image.
        skipped: name of each picture that was left out, and the reason.
    """

    on_bad: OnBad
    images: list[np.ndarray] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, row: int, name: str, image: np.ndarray) -> None:
        """Append an image.

        Args:
            row: row number of the image.
            name: name of the picture, for messages.
            image: (c, h, w) uint8.

        Raises:
            UserError: when its shape differs from that of the first image.
        """
        if self.images and image.shape != self.images[0].shape:
            raise UserError(
                f"{name} has shape {image.shape}, the pictures before it {self.images[0].shape}: "
                "set image_size to bring all to one size"
            )
        self.images.append(image)
        self.kept.append(row)

    def add_bad(self, name: str, reason: object) -> None:
        """Refuse or leave out a picture that cannot be read.

        Raises:
            UserError: when on_bad is "refuse".
        """
        if self.on_bad == "refuse":
            raise UserError(
                f"the picture {name} cannot be read ({reason}): replace it, or set on_bad=skip to leave it out"
            )
        self.skipped.append(f"{name}: {reason}")

    def stacked(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Return all images and their row numbers.

        Args:
            where: name of the folder or data set, for messages.

        Returns:
            Images (n, c, h, w) uint8 and row numbers (n,) int64.

        Raises:
            UserError: when there is no image.
        """
        if not self.images:
            raise UserError(f"{where} holds no picture that can be read: give another folder or data set")
        return np.stack(self.images), np.array(self.kept, np.int64)


def captions_column(values: Iterable[Any]) -> list[str]:
    """Return the captions of a column without outer spaces; an empty cell becomes the empty caption."""
    return ["" if value is None else str(value).strip() for value in values]
