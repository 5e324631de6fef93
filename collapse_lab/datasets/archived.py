"""Data sets of photographs in their authors' own archives, which the user has fetched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.archive import Tree, open_tree
from collapse_lab.datasets.base import ImageDataset, Rows
from collapse_lab.datasets.picture import Box, pixels
from collapse_lab.errors import UserError
from collapse_lab.storage.files import locked, make_folder, sync


@dataclass(frozen=True)
class Index:
    """What an archive says of its pictures: n names, labels (n,) int64, official test rows (n,) bool, classes."""

    names: tuple[str, ...]
    labels: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...]


@dataclass(kw_only=True, eq=False)
class ArchivedDataset(ImageDataset):
    """Colour photographs of many sizes, brought to one, from an archive or the folder that it unpacks to.

    Decoding takes a minute or so, and is done once: the pixels are kept below `cache`.

    root: the folder that holds the official files.
    cache: the folder where decoded pictures are kept.
    """

    root: str
    cache: str = "~/.cache/collapse_lab"
    image_size: int | None = 64

    folder: ClassVar[str]
    archive: ClassVar[str]
    texts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is None:
            raise UserError(
                f"image_size must be a number, as {type(self).__name__} has pictures of many sizes, got null: give 64"
            )
        if not Path(self.root).expanduser().is_dir():
            raise UserError(f"root should be a folder with the official files, and {self.root} is none: mend the path")

    @abstractmethod
    def index(self) -> Index:
        """The official lists, checked against one another and against the pictures that are there."""

    def region(self, name: str, width: int, height: int) -> Box | None:
        """The part of a picture that is kept; None for its central square."""
        del name, width, height
        return None

    @cached_property
    def tree(self) -> Tree:
        """The pictures, packed or unpacked."""
        return open_tree(Path(self.root).expanduser(), self.folder, self.archive, self.texts)

    def contents(self) -> Mapping[str, Any]:
        """The archive's SHA-256, or a hash of the names, sizes and times of the unpacked files."""
        return self._contents

    def pictures(self, below: str = "") -> frozenset[str]:
        """The names of the pictures that are there, without the folder `below` that they share."""
        found = (name for name in self.tree.names if name.startswith(below) and name.lower().endswith(".jpg"))
        return frozenset(name.removeprefix(below) for name in found)

    @property
    def classes(self) -> tuple[str, ...]:
        """The word for each label."""
        return self._index.classes

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Three channels; the size is the one asked for, as the set's differ."""
        size = self.image_size or 0
        return (3, size, size)

    def read(self) -> Rows:
        """The pictures in the official order."""
        if not self._shelf.is_file():
            index = self._index  # what is wrong with the archive is said before anything is written
            make_folder(self._shelf.parent, "paths.data")
            with locked(self._shelf.with_suffix(".lock"), f"the pictures of {type(self).__name__}"):
                if not self._shelf.is_file():
                    self._fill(self._shelf, index)
        images, labels, test = self._shelved("images", "labels", "test")
        return Rows(images, labels, test=test)

    @cached_property
    def _contents(self) -> Mapping[str, Any]:
        return self.tree.contents()  # reads a whole archive, so once

    @cached_property
    def _index(self) -> Index:
        if not self._shelf.is_file():
            return self.index()
        names, labels, test, classes = self._shelved("names", "labels", "test", "classes")
        return Index(tuple(map(str, names)), labels, test, tuple(map(str, classes)))

    @cached_property
    def _shelf(self) -> Path:
        """The file of decoded pictures, named by all that its bytes depend on."""
        later = {f.name for f in fields(ImageDataset)} - {"image_size"}
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.places | later}
        identity = json.dumps([self.version, arguments, self.contents()], sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return Path(self.cache).expanduser() / "decoded" / f"{type(self).__name__}-{digest}.npz"

    def _shelved(self, *names: str) -> list[np.ndarray]:
        try:
            with np.load(self._shelf) as shelf:
                return [shelf[name] for name in names]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{self._shelf} is damaged ({error}): delete it, and it is made anew") from error

    def _fill(self, path: Path, index: Index) -> None:
        images = self._decoded(index.names)
        draft = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            np.savez(
                draft,
                images=images,
                labels=index.labels,
                test=index.test,
                names=np.array(index.names),
                classes=np.array(index.classes),
            )
            sync(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _decoded(self, names: tuple[str, ...]) -> np.ndarray:
        from PIL import Image

        row = {name: i for i, name in enumerate(names)}
        images = np.empty((len(names), *self.native_shape), np.uint8)
        for name, raw in self.tree.read(names):
            try:
                with Image.open(io.BytesIO(raw)) as image:
                    box = self.region(name, image.width, image.height)
                    images[row[name]] = pixels(image, self.image_size, 3, box)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise UserError(
                    f"the picture {name} of {self.tree.path} cannot be decoded ({error}): replace it by the "
                    "official one"
                ) from error
        return images


def check_complete(where: Path, named: Collection[str], found: Collection[str], by: str) -> None:
    """Raise UserError for a picture that `by` names twice or that is not there, or that is there and not named."""
    missing, extra = sorted(set(named) - set(found)), sorted(set(found) - set(named))
    if missing:
        raise UserError(
            f"{where} should hold the {len(named)} pictures of {by}, and {len(missing)} are missing, the first "
            f"{missing[0]}: unpack the official archive again, or fetch it anew"
        )
    if len(set(named)) < len(named):
        raise UserError(f"{by} of {where} names a picture twice: replace the files by the official archive")
    if extra:
        raise UserError(
            f"{where} holds {len(extra)} pictures that {by} does not know, the first {extra[0]}: move them elsewhere, "
            "or use dataset=imagefolder for a set of your own"
        )
