"""From columns and pictures of any make to rows of one shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from collapse_lab.errors import UserError, did_you_mean

OnBad = Literal["refuse", "skip"]


def ranked(values: Sequence[Any], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (n,) int64 and the word of each, from a column of words or of whole numbers.

    Words are ranked by their spelling, numbers by their size; the word of a number is its digits. Raises
    UserError for an empty cell.
    """
    texts = ["" if value is None else str(value).strip() for value in values]
    if "" in texts:
        raise UserError(f"row {texts.index('')} of {where} has no label: fill it in, or name no label column")
    distinct = set(texts)
    numeric = all(text.lstrip("-").isdigit() for text in distinct)
    words = sorted(distinct, key=int) if numeric else sorted(distinct)
    place = {word: i for i, word in enumerate(words)}
    return np.array([place[text] for text in texts], np.int64), tuple(words)


def column(table: dict[str, list[Any]], name: str, where: str) -> list[Any]:
    """A column by its name. Raises UserError that names the nearest one where there is none."""
    if name not in table:
        raise UserError(f"{where} should have a column '{name}', it has {sorted(table)}: {did_you_mean(name, table)}")
    return table[name]


@dataclass
class Stack:
    """Pictures of one shape, gathered one by one; a bad one is refused, or left out and remembered.

    on_bad: "refuse" raises UserError at the first picture that cannot be read, "skip" leaves it out.
    skipped: what was left out, and why.
    """

    on_bad: OnBad
    images: list[np.ndarray] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, row: int, name: str, image: np.ndarray) -> None:
        """Append a picture (c, h, w) uint8. Raises UserError where its shape is not the first one's."""
        if self.images and image.shape != self.images[0].shape:
            raise UserError(
                f"{name} has shape {image.shape}, the pictures before it {self.images[0].shape}: "
                "set image_size to bring all to one size"
            )
        self.images.append(image)
        self.kept.append(row)

    def bad(self, name: str, why: object) -> None:
        """Refuse or leave out a picture that cannot be read."""
        if self.on_bad == "refuse":
            raise UserError(
                f"the picture {name} cannot be read ({why}): replace it, or set on_bad=skip to leave such out"
            )
        self.skipped.append(f"{name}: {why}")

    def done(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (n, c, h, w) and the rows (n,) that they come from. Raises UserError for none at all."""
        if not self.images:
            raise UserError(f"{where} holds no picture that can be read: give another folder or data set")
        return np.stack(self.images), np.array(self.kept, np.int64)


def captions_column(values: Iterable[Any]) -> list[str]:
    """Captions of a column: stripped, an empty cell as the empty prompt."""
    return ["" if value is None else str(value).strip() for value in values]


def check_choices(channels: int, on_bad: str) -> None:
    """Raise UserError for a number of channels or a way with bad pictures that does not exist."""
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    if on_bad not in ("refuse", "skip"):
        raise UserError(f"on_bad must be 'refuse' or 'skip', got '{on_bad}'")
