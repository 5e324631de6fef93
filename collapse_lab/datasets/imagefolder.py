"""Folder of the user's own pictures with a table of captions."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.columns import captions_column, column, ranked
from collapse_lab.datasets.listed import ListedPictures
from collapse_lab.datasets.picture import BadPicture, pixels, read_picture
from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum

FORMATS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(kw_only=True, eq=False)
class ImageFolder(ListedPictures):
    """Read the pictures that metadata.csv, metadata.jsonl or metadata.parquet in `root` lists, one per row.

    They are decoded once: the pixels are kept in a file below `cache`, which is mapped.

    The column `file_name` holds a path below root. A name that leads outside, also by a symbolic link, is refused
    whatever `on_bad` says, because a table that somebody else wrote should not choose files of this machine. The
    licence is that of the user's pictures.

    Args:
        root: folder of the metadata file.
        caption_column: column of the captions; an empty cell is the empty caption. None makes captions of the templates
            and the labels.
        label_column: column of words or whole numbers, which are sorted and numbered. None gives rows without labels.
        channels: 3 for colour, 1 for grey.
        on_bad: "refuse" raises UserError for a picture that cannot be read. "skip" leaves it out, writes a warning to
            the log and adds its name to `skipped`.
        cache: folder where the decoded pictures are kept.

    The other arguments are those of `ImageDataset`.

    Raises:
        UserError: when an argument is out of its range, root is not a folder, or a name leads outside it.
    """

    root: str
    caption_column: str | None = "text"

    unsigned: ClassVar[frozenset[str]] = frozenset({"cache"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not Path(self.root).expanduser().is_dir():
            raise UserError(f"root should be a folder of pictures, and {self.root} is not a folder: correct the path")

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the metadata and a hash of the names, sizes and times of the pictures."""
        listing = []
        for name in self._names:
            stat = _stat(self._folder / name)
            listing.append([name, stat.st_size, stat.st_mtime_ns] if stat else [name])
        digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        return {"metadata": checksum(self._metadata), "files": digest}

    @cached_property
    def native_shape(self) -> tuple[int, int, int]:
        """Return the shape of the first picture whose header can be read."""
        for name in self._names:
            try:
                height, width = read_picture(self._folder / name, lambda image: (image.height, image.width))
            except BadPicture:
                continue
            return (self.channels, height, width)
        raise UserError(f"{self.root} holds no picture that can be read: give another folder")

    @property
    def where(self) -> str:
        """Return the folder."""
        return self.root

    @property
    def listed(self) -> int:
        """Return the number of rows of the metadata."""
        return len(self._names)

    def pictures(self) -> Iterator[tuple[str, str]]:
        """Yield the names of the metadata."""
        return zip(self._names, self._names, strict=True)

    def decode(self, picture: str) -> np.ndarray:
        """Return the picture of a file."""
        return read_picture(self._folder / picture, lambda image: pixels(image, self.image_size, self.channels))

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
        names = [str(name) for name in column(self._table, "file_name", str(self._metadata))]
        inside = os.path.realpath(self._folder)
        for name in names:
            if _leaves(inside, name):
                raise UserError(
                    f"file_name of {self._metadata} should be a path below root, and {name!r} leads outside it: copy "
                    "the picture into root, or correct the name"
                )
        return names

    @property
    def file_names(self) -> list[str]:
        """Return the names of the metadata: paths below root."""
        return self._names

    @cached_property
    def texts(self) -> list[str]:
        """Return the captions of all rows."""
        return captions_column(column(self._table, str(self.caption_column), str(self._metadata)))

    def ranks(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the labels of all rows by the column of a name, and the word of each label."""
        where = str(self._metadata)
        return ranked(column(self._table, name, where), where)


def _leaves(folder: str, name: str) -> bool:
    """Return whether a name leads outside a folder, whose path holds no symbolic link."""
    try:
        target = os.path.realpath(Path(folder, name))
    except ValueError:  # because of a NUL, with which no file can be named: reading it fails, and names the picture
        return False
    return Path(name).is_absolute() or os.path.commonpath([folder, target]) != folder


def _stat(path: Path) -> os.stat_result | None:
    """Return size and times of a file; None where there is no file that can be looked at."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # because it is missing, too long a name, or not ours to see
        return None
    return stat if S_ISREG(stat.st_mode) else None


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
