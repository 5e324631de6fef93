"""Image data sets of the Hugging Face hub, and those saved in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from collapse_lab.datasets.columns import captions_column, ranked
from collapse_lab.datasets.listed import ListedPictures
from collapse_lab.datasets.picture import BadPicture, as_bytes, pixels, read_picture
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.storage.files import make_folder
from collapse_lab.types import Need

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(kw_only=True, eq=False)
class Hub(ListedPictures):
    """Read the pictures of a data set by its name on the hub, or from a folder.

    The folder is one that `save_to_disk` or the user wrote. This class needs the extra `hub`. The licence is the data
    set's own and stands on its card.

    Args:
        name: "owner/name", or a folder.
        revision: a commit, tag or branch. A name on the hub needs one; only a commit keeps the rows the same.
        subset: the configuration, where the data set has several.
        split: the training rows.
        reference_split: the reference rows. None keeps reference_fraction of `split` for reference.
        image_column: column of the pictures.
        caption_column: column of the captions. None makes captions of the templates and the labels.
        label_column: column of the labels. None gives rows without labels.
        channels: 3 for colour, 1 for grey.
        on_bad: "refuse" raises UserError for a picture that cannot be read. "skip" leaves it out, writes a warning to
            the log and adds its row to `skipped`.
        cache: folder where downloads from the hub and the decoded pictures are kept.

    The other arguments are those of `ImageDataset`.

    Raises:
        UserError: when an argument is out of its range, a name on the hub has no revision, or both reference_split and
            reference_fraction are given.
    """

    name: str
    revision: str | None = None
    subset: str | None = None
    split: str = "train"
    reference_split: str | None = None
    image_column: str = "image"

    # A folder that was moved is the same data, so `name` is left out here; `contents` has the name or the file list
    location_arguments: ClassVar[frozenset[str]] = frozenset({"cache", "name"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_source(self.name, self.revision, self.reference_split, self.reference_fraction)

    def contents(self) -> Mapping[str, Any]:
        """Return the name on the hub, or the names, sizes and times of the files in the folder."""
        return listing(self.name)

    @cached_property
    def native_shape(self) -> tuple[int, int, int]:
        """Return the shape of the first picture that can be read."""
        for cell in _cells(self._splits[0], self.image_column):
            try:
                image = self._picture(cell, None)
            except BadPicture:
                continue
            return (image.shape[0], image.shape[1], image.shape[2])
        raise UserError(f"{self.name} holds no picture that can be read: give another data set")

    def prefetch(self) -> list[Need]:
        """Return the data set."""
        return [need_of(self.name, self.subset, self.revision, self.cache, lambda: self._splits)]

    @property
    def where(self) -> str:
        """Return the name of the data set."""
        return self.name

    @property
    def listed(self) -> int:
        """Return the number of rows of `split` and of `reference_split`."""
        return sum(map(len, self._splits))

    def pictures(self) -> Iterator[tuple[str, Any]]:
        """Yield the cells of `split`, then those of `reference_split`."""
        cells = (cell for split in self._splits for cell in _cells(split, self.image_column))
        return ((f"of row {row} of {self.name}", cell) for row, cell in enumerate(cells))

    def decode(self, picture: Any) -> np.ndarray:
        """Return the picture of a cell."""
        return self._picture(picture, self.image_size)

    def official_test(self, kept: np.ndarray) -> np.ndarray | None:
        """Return a mask of the rows of `reference_split`."""
        return None if self.reference_split is None else kept >= len(self._splits[0])

    @cached_property
    def _splits(self) -> list[Any]:
        names = [self.split, *([self.reference_split] if self.reference_split else [])]
        columns = [column for column in (self.image_column, self.caption_column, self.label_column) if column]
        splits = open_splits(self.name, self.subset, self.revision, self.cache, names, columns)
        return [_undecoded(split, self.image_column) for split in splits]

    @cached_property
    def texts(self) -> list[str]:
        """Return the captions of all rows."""
        return [text for split in self._splits for text in captions_column(split[self.caption_column])]

    def ranks(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the labels of all rows by the column of a name, and the word of each label."""
        values = [value for split in self._splits for value in split[name]]
        names = getattr(self._splits[0].features[name], "names", None)
        if names is None:
            return ranked(values, self.name)
        return np.array([-1 if value is None else value for value in values], np.int64), tuple(names)

    def _picture(self, cell: Any, size: int | None) -> np.ndarray:
        def convert(image: Image) -> np.ndarray:
            return pixels(image, size, self.channels)

        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, str | bytes):
            return read_picture(cell, convert)
        return convert(_image_of(cell))


def _cells(split: Any, column: str) -> Iterator[Any]:
    """Yield the cells of a column row by row, because those of a large split do not fit into the memory together."""
    return (row[column] for row in split.select_columns([column]))


def _image_of(cell: Any) -> Image:
    """Return the picture of a cell that holds numbers, (h, w) or (h, w, c)."""
    from PIL import Image as Pillow

    try:
        return Pillow.fromarray(as_bytes(np.asarray(cell)))
    except (TypeError, ValueError) as error:  # because the cell is empty, or its numbers make no picture
        raise BadPicture(str(error)) from error


def check_source(
    name: str, revision: str | None, reference_split: str | None, reference_fraction: float | None
) -> None:
    """Check where a data set and its reference rows come from.

    Args:
        name: "owner/name" on the hub, or a folder.
        revision: a commit, tag or branch.
        reference_split: name of the split of the reference rows.
        reference_fraction: share of the rows that is kept for reference.

    Raises:
        UserError: when a name on the hub has no revision, or both ways to choose reference rows are given.
    """
    if _folder(name) is None and revision is None:
        raise UserError(
            f"name={name} is not a folder, so it is a name on the hub and needs a revision: give the commit from its "
            "page, so that every run reads the same rows"
        )
    if reference_split is not None and reference_fraction is not None:
        raise UserError(
            f"give reference_split={reference_split} or "
            f"reference_fraction={reference_fraction}, not both: set the other to null"
        )


def listing(name: str) -> Mapping[str, Any]:
    """Return the name on the hub, or the names, sizes and times of the files in the folder."""
    folder = _folder(name)
    if folder is None:
        return {"name": name}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("cache-"))
    stats = [(p.relative_to(folder).as_posix(), p.stat()) for p in files]
    return {"files": [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats]}


def need_of(name: str, subset: str | None, revision: str | None, cache: str, open_it: Callable[[], object]) -> Need:
    """Return a data set of the hub as something that a run takes from elsewhere.

    Because the library `datasets` makes requests also for what its cache holds, a file beside the cache tells that a
    data set was opened once.

    Args:
        name: "owner/name" on the hub, or a folder.
        subset: the configuration.
        revision: a commit, tag or branch.
        cache: folder where downloads are kept.
        open_it: opens the splits.
    """
    if _folder(name) is not None:
        return Need(f"data set {name}", True, open_it)
    digest = hashlib.sha256(json.dumps([name, subset, revision]).encode()).hexdigest()[:16]
    mark = Path(cache).expanduser() / "hub" / f"opened-{digest}"
    held = mark.is_file()

    def obtain() -> None:
        if not held:
            open_it()
            make_folder(mark.parent, "paths.data")
            mark.touch()

    return Need(f"data set {' '.join(filter(None, (name, subset)))} at {revision}", held, obtain)


def open_splits(
    name: str, subset: str | None, revision: str | None, cache: str, splits: Sequence[str], columns: Sequence[str]
) -> list[Any]:
    """Open splits of a data set, memory-mapped.

    Args:
        name: "owner/name" on the hub, or a folder.
        subset: the configuration, where the data set has several.
        revision: a commit, tag or branch.
        cache: folder where downloads are kept.
        splits: names of the splits.
        columns: names of the columns that every split must have.

    Returns:
        The splits, in the order of `splits`.

    Raises:
        UserError: when the extra `hub` is not installed, the data set cannot be opened, or a split or a column does not
            exist.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "a data set of the hub needs the package datasets, which is not installed: pip install 'collapse-lab[hub]'"
        ) from error
    folder = _folder(name)
    try:
        if folder and any((folder / f).is_file() for f in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(str(folder))
        else:
            saved = datasets.load_dataset(
                name, subset, revision=revision, cache_dir=str(Path(cache).expanduser() / "hub")
            )
    except Exception as error:  # because errors of the library, the hub, fsspec and pyarrow all end here
        raise UserError(
            f"name={name} cannot be opened ({type(error).__name__}: {error}): check the name, the "
            "revision, the subset and the network, or give a folder"
        ) from error
    by_name = dict(saved) if isinstance(saved, Mapping) else {"train": saved}
    for split in splits:
        if split not in by_name:
            raise UserError(f"{name} has no split '{split}': {did_you_mean(split, by_name)}")
        names = by_name[split].column_names
        for column in columns:
            if column not in names:
                raise UserError(f"{name} has no column '{column}', it has {names}: {did_you_mean(column, names)}")
    return [by_name[split] for split in splits]


def _folder(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def _undecoded(split: Any, column: str) -> Any:
    """Return a split without automatic decoding.

    We decode the pictures one by one, so that a message can name a bad one.
    """
    import datasets

    if isinstance(split.features[column], datasets.Image):
        split = split.cast_column(column, datasets.Image(decode=False))
    return split
