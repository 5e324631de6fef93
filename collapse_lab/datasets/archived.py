"""Base class of photograph data sets that are read from their authors' archives, which the user downloads."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from filelock import FileLock, Timeout

from collapse_lab.datasets.archive import Tree, open_tree
from collapse_lab.datasets.base import ImageDataset, LabelledImages
from collapse_lab.datasets.decoded import read_arrays, write_arrays
from collapse_lab.datasets.picture import BadPicture, Box, pixels, read_picture
from collapse_lab.errors import UserError
from collapse_lab.storage.files import make_folder
from collapse_lab.types import Side

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


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

    Decoding takes about a minute and is done once: the decoded images are kept as cached arrays below `cache`.

    Args:
        root: folder that holds the official files.
        cache: folder where the cached arrays are kept.
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
        """Return the images in the official order, from the cached arrays where they exist."""
        arrays = self._from_cache("images", "labels", "test")
        if arrays is None:
            # The index checks the archive, so read it before anything is written
            index = self.index()
            make_folder(self._cached_arrays.parent, "paths.data")
            with _locked(self._cached_arrays.with_suffix(".lock"), type(self).__name__):
                arrays = self._from_cache("images", "labels", "test") or self._decode(index)
        images, labels, test = arrays
        return LabelledImages(images, labels, test=test)

    @cached_property
    def _contents(self) -> Mapping[str, Any]:
        # Because this reads the whole archive, keep the result
        return self.tree.contents()

    @cached_property
    def _index(self) -> Index:
        arrays = self._from_cache("names", "labels", "test", "classes")
        if arrays is None:
            return self.index()
        names, labels, test, classes = arrays
        return Index(tuple(map(str, names)), labels, test, tuple(map(str, classes)))

    @cached_property
    def _identity(self) -> str:
        """Return everything that the cached arrays depend on."""
        applied_after_decoding = {f.name for f in fields(ImageDataset)} - {"image_size"}
        left_out = self.location_arguments | applied_after_decoding
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return json.dumps([self.version, arguments, self.contents()], sort_keys=True)

    @cached_property
    def _cached_arrays(self) -> Path:
        """Return the path of the cached arrays, whose name is a hash of everything that the arrays depend on."""
        digest = hashlib.sha256(self._identity.encode()).hexdigest()[:16]
        return Path(self.cache).expanduser() / "decoded" / f"{type(self).__name__}-{digest}.npz"

    def _from_cache(self, *names: str) -> list[np.ndarray] | None:
        """Return cached arrays; None where there are none, or they are not those that were written."""
        path = self._cached_arrays
        try:
            return read_arrays(path, f"{type(self).__name__} {self._identity}", names)
        except FileNotFoundError:
            return None
        except ValueError as error:
            log.warning("%s failed its check (%s); the pictures are decoded again", path, error)
            return None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}): give another folder with paths.data=…"
            ) from error

    def _decode(self, index: Index) -> list[np.ndarray]:
        """Return images, labels and test, which are decoded here and written to the cache."""
        images = self._decoded(index.names)
        arrays = {"images": images, "labels": index.labels, "test": index.test}
        lists = {"names": np.array(index.names), "classes": np.array(index.classes)}
        path = self._cached_arrays
        try:
            write_arrays(path, f"{type(self).__name__} {self._identity}", {**arrays, **lists})
        except OSError as error:
            raise UserError(
                f"the cache {path.parent} cannot be written ({error.strerror}): make room, or give another folder with "
                "paths.data=…"
            ) from error
        return [*arrays.values()]

    def _decoded(self, names: tuple[str, ...]) -> np.ndarray:
        row = {name: i for i, name in enumerate(names)}
        images = np.empty((len(names), *self.native_shape), np.uint8)
        for name, raw in self.tree.read(names):
            try:
                images[row[name]] = read_picture(raw, partial(self._pixels, name))
            except BadPicture as error:
                raise UserError(
                    f"the picture {name} of {self.tree.path} cannot be decoded ({error}): replace it by the "
                    "official file"
                ) from error
        return images

    def _pixels(self, name: str, image: Image) -> np.ndarray:
        return pixels(image, self.image_size, 3, self.region(name, image.width, image.height))


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Hold a lock inside the block, so that of two processes that need the same arrays only one decodes pictures."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        log.warning("waiting for another process that is decoding the pictures of %s", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
