"""Data sets of the Hugging Face hub, and those saved in a folder."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from collapse_lab.datasets.base import ImageDataset, Rows
from collapse_lab.datasets.columns import OnBad, Stack, captions_column, check_choices, ranked
from collapse_lab.datasets.picture import pixels
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.types import Captions

log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Hub(ImageDataset):
    """Pictures of a data set by its name on the hub, or by a folder that `save_to_disk` or the user wrote.

    Needs the extra `hub`. Licence: the data set's own, to be read on its card.

    name: "owner/name", or a folder.
    revision: a commit, tag or branch; needed for a name on the hub, as only a commit keeps the rows the same.
    subset: the configuration, where the data set has several.
    split, reference_split: the rows to train on and the reference rows; without a reference_split,
        reference_fraction of `split` is kept for reference.
    image_column, caption_column, label_column: where things are; None for no captions of its own, no labels.
    channels: 3 for colour, 1 for grey.
    on_bad: "refuse" raises UserError for a picture that cannot be read, "skip" leaves it out, says so in the
        log, and keeps its row in `skipped`.
    cache: the folder where what comes from the hub is kept.
    """

    name: str
    revision: str | None = None
    subset: str | None = None
    split: str = "train"
    reference_split: str | None = None
    image_column: str = "image"
    caption_column: str | None = None
    label_column: str | None = None
    channels: Literal[1, 3] = 3
    on_bad: OnBad = "refuse"
    cache: str = "~/.cache/collapse_lab"

    # a moved folder is the same data: `contents` lists what it holds
    places: ClassVar[frozenset[str]] = frozenset({"cache", "name"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.skipped: list[str] = []
        check_choices(self.channels, self.on_bad)
        check_source(self.name, self.revision, self.reference_split, self.reference_fraction)

    def contents(self) -> Mapping[str, Any]:
        """The name on the hub, or the names, sizes and times of the files in the folder."""
        return listing(self.name)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels, or their distinct values, ranked."""
        return self._labelled[1]

    @cached_property
    def native_shape(self) -> tuple[int, int, int]:
        """That of the first picture."""
        row = self._picture(self._parts[0][0][self.image_column], None)
        return (row.shape[0], row.shape[1], row.shape[2])

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Every caption of the column, or of the templates and the labels."""
        if self.caption_column is None:
            return super().vocabulary
        return tuple(sorted(set(np.asarray(self._texts, object)[self.keeps(self._labelled[0])])))

    def read(self) -> Rows:
        """The rows of `split`, then those of `reference_split`."""
        stack = Stack(self.on_bad)
        row = 0
        for part in self._parts:
            for value in part[self.image_column]:
                name = f"of row {row} of {self.name}"
                try:
                    stack.add(row, name, self._picture(value, self.image_size))
                except (OSError, SyntaxError, ValueError, TypeError) as error:
                    stack.bad(name, error)
                row += 1
        self.skipped = stack.skipped
        if self.skipped:
            log.warning("%s: left out %d pictures: %s", self.name, len(self.skipped), "; ".join(self.skipped))
        images, kept = stack.done(self.name)
        captions = None if self.caption_column is None else Captions.of(self._texts).take(kept)
        test = None if self.reference_split is None else kept >= len(self._parts[0])
        return Rows(images, self._labelled[0][kept], captions, test)

    @cached_property
    def _parts(self) -> list[Any]:
        names = [self.split, *([self.reference_split] if self.reference_split else [])]
        columns = [column for column in (self.image_column, self.caption_column, self.label_column) if column]
        parts = open_splits(self.name, self.subset, self.revision, self.cache, names, columns)
        return [_undecoded(part, self.image_column) for part in parts]

    @cached_property
    def _texts(self) -> list[str]:
        return [text for part in self._parts for text in captions_column(part[self.caption_column])]

    @cached_property
    def _labelled(self) -> tuple[np.ndarray, tuple[str, ...]]:
        n = sum(len(part) for part in self._parts)
        if self.label_column is None:
            return np.full(n, -1, np.int64), ()
        values = [value for part in self._parts for value in part[self.label_column]]
        names = getattr(self._parts[0].features[self.label_column], "names", None)
        if names is None:
            return ranked(values, self.name)
        return np.array([-1 if value is None else value for value in values], np.int64), tuple(names)

    def _picture(self, cell: Any, size: int | None) -> np.ndarray:
        from PIL import Image

        if isinstance(cell, Mapping) and cell.get("bytes"):
            cell = io.BytesIO(cell["bytes"])
        elif isinstance(cell, Mapping):
            cell = cell["path"]
        elif not isinstance(cell, str):
            return pixels(Image.fromarray(np.asarray(cell, np.uint8)), size, self.channels)
        with Image.open(cell) as image:
            return pixels(image, size, self.channels)


def check_source(
    name: str, revision: str | None, reference_split: str | None, reference_fraction: float | None
) -> None:
    """Raise UserError for a name on the hub without a revision, and for two ways to the reference rows."""
    if _folder(name) is None and revision is None:
        raise UserError(
            f"name={name} is no folder here, so it is a name on the hub, and needs a revision: give "
            "the commit from its page, so that the same rows come every time"
        )
    if reference_split is not None and reference_fraction is not None:
        raise UserError(
            f"give reference_split={reference_split} or "
            f"reference_fraction={reference_fraction}, not both: set the other to null"
        )


def listing(name: str) -> Mapping[str, Any]:
    """The name on the hub, or the names, sizes and times of the files in the folder."""
    folder = _folder(name)
    if folder is None:
        return {"name": name}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("cache-"))
    found = [(p.relative_to(folder).as_posix(), p.stat()) for p in files]
    return {"files": [[path, stat.st_size, stat.st_mtime_ns] for path, stat in found]}


def open_splits(
    name: str, subset: str | None, revision: str | None, cache: str, splits: Sequence[str], columns: Sequence[str]
) -> list[Any]:
    """The named splits, memory-mapped. Raises UserError for what is not there, and for a column that they lack."""
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
    except Exception as error:  # the library raises its own, the hub's, fsspec's and pyarrow's
        raise UserError(
            f"name={name} cannot be opened ({type(error).__name__}: {error}): check the name, the "
            "revision, the subset and the network, or give a folder"
        ) from error
    found = dict(saved) if isinstance(saved, Mapping) else {"train": saved}
    for split in splits:
        if split not in found:
            raise UserError(f"{name} has no split '{split}': {did_you_mean(split, found)}")
        names = found[split].column_names
        for column in columns:
            if column not in names:
                raise UserError(f"{name} has no column '{column}', it has {names}: {did_you_mean(column, names)}")
    return [found[split] for split in splits]


def _folder(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def _undecoded(part: Any, column: str) -> Any:
    """Pictures are decoded one by one, so that a bad one is met where it can be named."""
    import datasets

    if isinstance(part.features[column], datasets.Image):
        part = part.cast_column(column, datasets.Image(decode=False))
    return part
