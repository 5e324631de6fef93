"""Base class of the data sets whose pictures a table lists, one a row: they are decoded once."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from collapse_lab.datasets.base import ImageDataset, LabelledImages
from collapse_lab.datasets.columns import GatheredImages, OnBad
from collapse_lab.datasets.decoded import Arrays, DecodedPictures, Recipe, in_threads
from collapse_lab.datasets.picture import BadPicture
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Captions

log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class ListedPictures(ImageDataset):
    """Read the pictures that a table lists.

    Args:
        caption_column: column of the captions. None makes captions of the templates and the labels.
        label_column: column of the labels. None gives rows without labels.
        channels: 3 for colour, 1 for grey.
        on_bad: "refuse" raises UserError for a picture that cannot be read. "skip" leaves it out, writes a warning to
            the log and adds its name to `skipped`.
        cache: folder where the decoded pictures are kept.

    The other arguments are those of `ImageDataset`.
    """

    caption_column: str | None = None
    label_column: str | None = None
    channels: Literal[1, 3] = 3
    on_bad: OnBad = "refuse"
    cache: str = "~/.cache/collapse_lab"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.skipped: list[str] = []

    @property
    @abstractmethod
    def where(self) -> str:
        """Return the name of the folder or of the data set, for messages."""

    @property
    @abstractmethod
    def listed(self) -> int:
        """Return how many pictures the table lists."""

    @abstractmethod
    def pictures(self) -> Iterator[tuple[str, Any]]:
        """Yield each picture with its name for messages, in the order of the table."""

    @abstractmethod
    def decode(self, picture: Any) -> np.ndarray:
        """Return a picture as (c, h, w) uint8; this is called in threads.

        Raises:
            BadPicture: the picture cannot be read.
        """

    @property
    @abstractmethod
    def texts(self) -> list[str]:
        """Return the captions of all rows."""

    @abstractmethod
    def ranks(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the labels of all rows by the column of a name, (n,) int64, and the word of each label."""

    @property
    def file_names(self) -> Sequence[str] | None:
        """Return the name of the file of each row of the table; None where a picture has no file of its own."""
        return None

    @cached_property
    def labelled(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the labels of all rows, (n,) int64, -1 where a row has none, and the word of each label."""
        if self.label_column is None:
            return np.full(self.listed, -1, np.int64), ()
        return self.ranks(self.label_column)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the word of each label."""
        return self.labelled[1]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return every caption of the column, or of the templates and the labels."""
        if self.caption_column is None:
            return super().vocabulary
        return tuple(sorted(set(np.asarray(self.texts, object)[self.keeps(self.labelled[0])])))

    def read(self) -> LabelledImages:
        """Return the rows of the table that can be read, in its order."""
        # Because these arguments act on decoded pictures alone
        identity = self.decoded_from("caption_column", "label_column")
        decoded = DecodedPictures(self.cache, type(self).__name__, identity)
        images, (kept, skipped) = decoded.obtain(("kept", "skipped"), self._recipe)
        self.skipped = skipped.tolist()
        if self.skipped:
            log.warning("%s: left out %d pictures: %s", self.where, len(self.skipped), "; ".join(self.skipped))
        captions = None if self.caption_column is None else Captions.of(self.texts).take(kept)
        labels, file = self.labelled[0][kept], MappedFile.of(decoded.pixels)
        names = None if self.file_names is None else np.asarray(self.file_names, object)[kept]
        return LabelledImages(images, labels, captions, self.official_test(kept), file, names)

    def official_test(self, kept: np.ndarray) -> np.ndarray | None:
        """Return a mask (n,) of the official test rows among the rows with these numbers; None where there are none."""
        del kept
        return None

    def _recipe(self) -> Recipe:
        def fill(block: np.ndarray) -> tuple[int, Arrays]:
            gathered = GatheredImages(self.on_bad, block)
            for row, ((name, _), image) in enumerate(in_threads(self.pictures(), self._image)):
                gathered.add(row, name, image)
            return gathered.finished(self.where)

        return Recipe((self.listed, *self.picture_shape), fill)

    def _image(self, picture: tuple[str, Any]) -> np.ndarray | BadPicture:
        try:
            return self.decode(picture[1])
        except BadPicture as error:
            return error
