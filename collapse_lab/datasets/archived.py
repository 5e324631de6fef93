"""Base class of photograph data sets that are read from their authors' archives, which the user downloads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from collapse_lab.datasets.archive import Tree, open_tree
from collapse_lab.datasets.base import ImageDataset, LabelledImages
from collapse_lab.datasets.decoded import Arrays, DecodedPictures, Recipe, in_threads
from collapse_lab.datasets.picture import BadPicture, Box, pixels, read_picture
from collapse_lab.errors import UserError
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Side

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Index:
    """Hold what an archive says about its n pictures.

    Attributes:
        names: n file names, in the official order.
        labels: (n,) int64.
        test: (n,) bool, True for the official test rows.
        classes: the word of each label.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...]


@dataclass(kw_only=True, eq=False)
class ArchivedDataset(ImageDataset):
    """Read colour photographs of many sizes, resized to one size, from an archive or from its extracted folder.

    Decoding takes about a minute and is done once: the pixels are kept in a file below `cache`, which is mapped.

    Args:
        root: folder that holds the official files.
        cache: folder where the decoded pictures are kept.
        image_size: side in pixels of the images, 1 or more.

    Raises:
        UserError: when image_size is null or root is not a folder.
    """

    root: str
    cache: str = "~/.cache/collapse_lab"
    image_size: Side | None = 64

    folder: ClassVar[str]
    archive: ClassVar[str]
    texts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is None:
            raise UserError(
                f"image_size must be a number, because {type(self).__name__} has pictures of many sizes, got null: "
                "give 64"
            )
        if not Path(self.root).expanduser().is_dir():
            raise UserError(
                f"root should be a folder with the official files, and {self.root} is not a folder: correct the path"
            )

    @abstractmethod
    def index(self) -> Index:
        """Return the official lists, checked against one another and against the pictures of the archive."""

    def region(self, name: str, width: int, height: int) -> Box | None:
        """Return the rectangle of a picture that is kept, or None for its central square.

        Args:
            name: file name of the picture.
            width: width of the picture in pixels.
            height: height of the picture in pixels.
        """
        del name, width, height
        return None

    @cached_property
    def tree(self) -> Tree:
        """Return access to the files of the archive or of its extracted folder."""
        return open_tree(Path(self.root).expanduser(), self.folder, self.archive, self.texts)

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the archive, or a hash of the names, sizes and times of the extracted files."""
        return self._contents

    def pictures(self, below: str = "") -> frozenset[str]:
        """Return the names of the pictures that exist.

        Args:
            below: prefix, such as "images/": names without it are left out, and it is removed from the others.
        """
        names = (name for name in self.tree.names if name.startswith(below) and name.lower().endswith(".jpg"))
        return frozenset(name.removeprefix(below) for name in names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the word of each label."""
        return self._index.classes

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return (3, image_size, image_size), because the sizes of the published pictures differ."""
        size = self.image_size or 0
        return (3, size, size)

    def read(self) -> LabelledImages:
        """Return the images in the official order; they are decoded once."""
        images, (labels, test) = self._decoded.obtain(("labels", "test"), self._recipe)
        return LabelledImages(images, labels, test=test, file=MappedFile.of(self._decoded.pixels))

    @cached_property
    def _contents(self) -> Mapping[str, Any]:
        # Because this reads the whole archive, keep the result
        return self.tree.contents()

    @cached_property
    def _index(self) -> Index:
        arrays = self._decoded.read("names", "labels", "test", "classes")
        if arrays is None:
            return self.index()
        names, labels, test, classes = arrays
        return Index(tuple(map(str, names)), labels, test, tuple(map(str, classes)))

    @cached_property
    def _decoded(self) -> DecodedPictures:
        return DecodedPictures(self.cache, type(self).__name__, self.decoded_from())

    def _recipe(self) -> Recipe:
        """Return how the pictures are decoded, after the lists are checked against the archive."""
        index = self.index()
        lists = {"names": np.array(index.names), "classes": np.array(index.classes)}
        arrays = {"labels": index.labels, "test": index.test, **lists}

        def fill(block: np.ndarray) -> tuple[int, Arrays]:
            row = {name: i for i, name in enumerate(index.names)}
            for (name, _), image in in_threads(self.tree.read(index.names), self._image):
                block[row[name]] = image
            return len(block), arrays

        return Recipe((len(index.names), *self.native_shape), fill)

    def _image(self, picture: tuple[str, bytes]) -> np.ndarray:
        name, raw = picture
        try:
            return read_picture(raw, partial(self._pixels, name))
        except BadPicture as error:
            raise UserError(
                f"the picture {name} of {self.tree.path} cannot be decoded ({error}): replace it by the official file"
            ) from error

    def _pixels(self, name: str, image: Image) -> np.ndarray:
        return pixels(image, self.image_size, 3, self.region(name, image.width, image.height))


def check_complete(where: Path, listed: Collection[str], existing: Collection[str], list_name: str) -> None:
    """Check that a list names every existing picture exactly once.

    Args:
        where: path of the archive or folder, for messages.
        listed: names of the pictures in the list.
        existing: names of the pictures in the archive or folder.
        list_name: file name of the list, for messages.

    Raises:
        UserError: when a picture is listed twice, is listed and does not exist, or exists and is not listed.
    """
    missing, extra = sorted(set(listed) - set(existing)), sorted(set(existing) - set(listed))
    if missing:
        raise UserError(
            f"{where} should hold the {len(listed)} pictures of {list_name}, and {len(missing)} are missing, the first "
            f"{missing[0]}: extract the official archive again, or download a fresh copy"
        )
    if len(set(listed)) < len(listed):
        raise UserError(f"{list_name} of {where} names a picture twice: replace the files by the official archive")
    if extra:
        raise UserError(
            f"{where} holds {len(extra)} pictures that {list_name} does not know, the first {extra[0]}: move them "
            "elsewhere, or use dataset=imagefolder for your own pictures"
        )
