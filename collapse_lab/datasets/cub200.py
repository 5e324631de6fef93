"""Caltech-UCSD Birds 200, edition of 2011, read from its official archive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from collapse_lab.datasets.archived import ArchivedDataset, Index, check_complete
from collapse_lab.datasets.picture import Box
from collapse_lab.errors import UserError
from collapse_lab.types import NonNegative

IMAGES, LABELS, SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
BOXES, CLASSES = "bounding_boxes.txt", "classes.txt"
PICTURES = "images/"


@dataclass(kw_only=True, eq=False)
class CUB200(ArchivedDataset):
    """Read 11,788 photographs of birds of 200 species, cropped to the bird, as (3, 64, 64) uint8.

    The authors are Wah, Branson, Welinder, Perona and Belongie (Caltech, CNS-TR-2011-001). They name no licence and
    allow research and teaching without profit; the photographs belong to their makers. `root` holds `CUB_200_2011.tgz`
    or the folder `CUB_200_2011` from inside it. 5,994 rows are officially for training and 5,794 for testing.
    arXiv:2306.06130 shows every picture ten times in an epoch. Our training budget counts optimiser steps over shuffled
    rows, where this makes no difference, so there is no argument for it.

    Args:
        crop: "box" for a square around the bird's bounding box, as in the paper; "centre" for the central square.
        margin: enlargement of that square over the longer side of the box, 0 or more; 0.25 adds a quarter.

    The other arguments are those of `ArchivedDataset` and `ImageDataset`.

    Raises:
        UserError: when image_size is null, or root is not a folder.
    """

    crop: Literal["box", "centre"] = "box"
    margin: NonNegative = 0.25

    folder: ClassVar[str] = "CUB_200_2011"
    archive: ClassVar[str] = "CUB_200_2011"
    texts: ClassVar[tuple[str, ...]] = (IMAGES, LABELS, SPLIT, BOXES, CLASSES)

    def index(self) -> Index:
        """Return the pictures in the order of their ids."""
        names, species = self._table(IMAGES), self._table(CLASSES)
        check_complete(self.tree.path, names.values(), self.pictures(PICTURES), IMAGES)
        labels, split = self._for_each(LABELS, names), self._for_each(SPLIT, names)
        label_of = {number: label for label, number in enumerate(species)}
        if unknown := sorted(set(labels.values()) - {str(number) for number in species}):
            raise self._wrong(LABELS, f"hold the ids of {CLASSES}", f"{unknown[0]!r} is none of them")
        if unknown := sorted(set(split.values()) - {"0", "1"}):
            raise self._wrong(SPLIT, "say 1 (training) or 0 (test)", f"{unknown[0]!r} is neither")
        if self.crop == "box":
            _ = self._boxes
        return Index(
            tuple(PICTURES + name for name in names.values()),
            np.array([label_of[int(number)] for number in labels.values()], np.int64),
            np.array([flag == "0" for flag in split.values()]),
            tuple(word(name) for name in species.values()),
        )

    def region(self, name: str, width: int, height: int) -> Box | None:
        """Return the enlarged square around the bird, or None for the central square."""
        return squared(self._boxes[name], self.margin, width, height) if self.crop == "box" else None

    @cached_property
    def _boxes(self) -> dict[str, Box]:
        """Return name of a picture -> (x, y, width, height), as published."""
        names = self._table(IMAGES)
        boxes: dict[str, Box] = {}
        for number, row in self._for_each(BOXES, names).items():
            try:
                x, y, width, height = map(float, row.split())
            except ValueError:
                raise self._wrong(BOXES, "hold an id, x, y, width and height", f"{number} has {row!r}") from None
            if not (width > 0 and height > 0):
                raise self._wrong(BOXES, "hold boxes with an area", f"that of {number} is {width} x {height}")
            boxes[PICTURES + names[number]] = (x, y, width, height)
        return boxes

    def _for_each(self, name: str, names: dict[int, str]) -> dict[int, str]:
        table = self._table(name)
        if table.keys() != names.keys():
            raise self._wrong(
                name, f"have one line for each of the {len(names)} pictures of {IMAGES}", f"it has {len(table)}"
            )
        return {number: table[number] for number in names}

    def _table(self, name: str) -> dict[int, str]:
        """Return id -> the rest of its line, in the order of the ids."""
        table: dict[int, str] = {}
        for line in filter(None, map(str.strip, self.tree.text(name).splitlines())):
            number, _, rest = line.partition(" ")
            if not number.isdigit() or not rest or int(number) in table:
                raise self._wrong(name, "have lines of a new id and a value", f"one is {line!r}")
            table[int(number)] = rest
        if not table:
            raise self._wrong(name, "have lines of an id and a value", "it is empty")
        return dict(sorted(table.items()))

    def _wrong(self, name: str, expected: str, problem: str) -> UserError:
        return UserError(
            f"{name} of {self.tree.path} should {expected}, and {problem}: replace the files by the official archive"
        )


def word(name: str) -> str:
    """Return a species as it reads inside a sentence.

    "001.Black_footed_Albatross" becomes "black footed albatross". A name without a number is returned unchanged.
    """
    return name.partition(".")[2].replace("_", " ").lower() or name


def squared(box: Box, margin: float, width: int, height: int) -> Box:
    """Return a square of side (1 + margin) max(w, h) around the middle of a box.

    Where the square would leave the picture, it is narrowed equally on both sides, so that the bird stays in the
    middle; resizing to a square then stretches the bird. The source is the preprocessing of
    github.com/beresandras/clear-diffusion-keras, on which arXiv:2306.06130 builds. Unlike the source, we do not round
    to whole pixels.

    Args:
        box: (x, y, w, h) in pixels, with x and y of the upper left corner.
        margin: enlargement, 0 or more.
        width: width of the picture in pixels.
        height: height of the picture in pixels.

    Returns:
        (left, top, right, bottom) in pixels.

    Raises:
        UserError: when the middle of the box lies outside the picture.
    """
    x, y, w, h = box
    centre_x, centre_y = x + w / 2, y + h / 2
    if not (0 < centre_x < width and 0 < centre_y < height):
        raise UserError(
            f"the bounding box {box} has its middle outside its picture of {width} x {height} pixels: the boxes or the "
            "pictures are not the official ones; replace them"
        )
    side = (1 + margin) * max(w, h)
    half_width = min(side, 2 * centre_x, 2 * (width - centre_x)) / 2
    half_height = min(side, 2 * centre_y, 2 * (height - centre_y)) / 2
    return (centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height)
