"""Folder of the user's own pictures with a table of captions."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from collapse_lab.datasets.base import ImageDataset, LabelledImages
from collapse_lab.datasets.columns import GatheredImages, OnBad, captions_column, column, ranked
from collapse_lab.datasets.picture import pixels
from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum
from collapse_lab.types import Captions

log = logging.getLogger(__name__)
FORMATS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(kw_only=True, eq=False)
class ImageFolder(ImageDataset):
    """Read the pictures that metadata.csv, metadata.jsonl or metadata.parquet in `root` lists, one per row.

    The column `file_name` holds a path below root. The licence is that of the user's pictures.

    Args:
        root: folder of the metadata file.
        caption_column: column of the captions; an empty cell is the empty caption. None makes captions of the templates
            and the labels.
        label_column: column of words or whole numbers, which are sorted and numbered. None gives rows without labels.
        channels: 3 for colour, 1 for grey.
        on_bad: "refuse" raises UserError for a picture that cannot be read. "skip" leaves it out, writes a warning to
            the log and adds its name to `skipped`.

    The other arguments are those of `ImageDataset`.

    Raises:
        UserError: when an argument is out of its range, or root is not a folder.
    """

    root: str
    caption_column: str | None = "text"
    label_column: str | None = None
    channels: Literal[1, 3] = 3
    on_bad: OnBad = "refuse"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.skipped: list[str] = []
        if not Path(self.root).expanduser().is_dir():
            raise UserError(f"root should be a folder of pictures, and {self.root} is not a folder: correct the path")

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the metadata and a hash of the names, sizes and times of the pictures."""
        listing = []
        for name in self._names:
            path = self._folder / name
            stat = path.stat() if path.is_file() else None
            listing.append([name, stat.st_size, stat.st_mtime_ns] if stat else [name])
        digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        return {"metadata": checksum(self._metadata), "files": digest}

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the distinct labels, sorted."""
        return self._labelled[1]

    @cached_property
    def native_shape(self) -> tuple[int, int, int]:
        """Return the shape of the first picture whose header can be read."""
        from PIL import Image

        for name in self._names:
            try:
                with Image.open(self._folder / name) as image:
                    return (self.channels, image.height, image.width)
            except (OSError, SyntaxError):
                continue
        raise UserError(f"{self.root} holds no picture that can be read: give another folder")

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return every caption of the metadata, or of the templates and the labels."""
        if self.caption_column is None:
            return super().vocabulary
        return tuple(sorted(set(np.asarray(self._texts, object)[self.keeps(self._labelled[0])])))

    def read(self) -> LabelledImages:
        """Return the rows of the metadata, in its order."""
        from PIL import Image

        gathered = GatheredImages(self.on_bad)
        for row, name in enumerate(self._names):
            try:
                with Image.open(self._folder / name) as image:
                    array = pixels(image, self.image_size, self.channels)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                gathered.add_bad(name, error)
            else:
                gathered.add(row, name, array)
        self.skipped = gathered.skipped
        if self.skipped:
            log.warning("%s: left out %d pictures: %s", self.root, len(self.skipped), "; ".join(self.skipped))
        images, kept = gathered.stacked(self.root)
        captions = None if self.caption_column is None else Captions.of(self._texts).take(kept)
        return LabelledImages(images, self._labelled[0][kept], captions)

    @cached_property
    def _folder(self) -> Path:
        return Path(self.root).expanduser()

    @cached_property
    def _metadata(self) -> Path:
        paths = [self._folder / name for name in FORMATS if (self._folder / name).is_file()]
        if len(paths) != 1:
            raise UserError(
                f"{self.root} should hold one of {', '.join(FORMATS)}, it holds "
                f"{[path.name for path in paths] or 'none'}: write one with the columns file_name and text"
            )
        return paths[0]

    @cached_property
    def _table(self) -> dict[str, list[Any]]:
        return read_table(self._metadata)

    @cached_property
    def _names(self) -> list[str]:
        return [str(name) for name in column(self._table, "file_name", str(self._metadata))]

    @cached_property
    def _texts(self) -> list[str]:
        return captions_column(column(self._table, str(self.caption_column), str(self._metadata)))

    @cached_property
    def _labelled(self) -> tuple[np.ndarray, tuple[str, ...]]:
        if self.label_column is None:
            return np.full(len(self._names), -1, np.int64), ()
        where = str(self._metadata)
        return ranked(column(self._table, self.label_column, where), where)


def read_table(path: Path) -> dict[str, list[Any]]:
    """Read a table from a csv file with a heading, a jsonl file of objects or a parquet file.

    Returns:
        Column name -> cells.

    Raises:
        UserError: when the file cannot be read or has no rows, or pyarrow is needed and not installed.
    """
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, Any]] = (
                list(csv.DictReader(file, strict=True))
                if path.suffix == ".csv"
                else [json.loads(line) for line in file if line.strip()]
            )
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as {path.suffix[1:]} ({error}): correct it") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} should have one row per picture, and has no row that can be read: write the rows")
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def _parquet(path: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{path} needs pyarrow, which is not installed: pip install 'collapse-lab[hub]', or write a csv"
        ) from error
    table: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return table
