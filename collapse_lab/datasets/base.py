"""Base class of all image data sets: the split, the image size, the captions and the key."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.captions import captions_of, check_templates, vocabulary_of
from collapse_lab.datasets.only import check_only, numbers_of, renumbered
from collapse_lab.datasets.picture import pixels
from collapse_lab.datasets.split import check_fractions, stratified
from collapse_lab.errors import UserError
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Captions, Count, RealData, Rows, Samples, Side, Spec, Whole

TRAIN, REFERENCE, VALIDATION = 0, 1, 2  # the parts of a data set


@dataclass(frozen=True)
class LabelledImages:
    """Hold all images of a data set with their labels and captions, before the split.

    Attributes:
        images: (n, c, h, w) uint8.
        labels: (n,) int64. All labels are -1 where the data set has no classes.
        captions: n captions that the data set itself has, or None where captions are made of templates.
        test: (n,) bool, True for the official test rows; None where there is no official split.
        file: the file in which the images lie, mapped; None where they are in memory.
        names: (n,) str, the name of each image's own file; None where the data set does not publish a file an image.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: Captions | None = None
    test: np.ndarray | None = None
    file: MappedFile | None = None
    names: np.ndarray | None = None


@dataclass(kw_only=True, eq=False)
class ImageDataset(ABC):
    """Read images and split them once and for all into training rows, reference rows and, if wanted, validation rows.

    Args:
        image_size: side in pixels to which the central square of each picture is resized, 1 or more. None keeps the
            size that the data set publishes.
        reference_fraction: share of the rows of every label that is kept for reference, in (0, 1). None takes the
            official test rows.
        only: classes to keep, by their words or numbers. Labels are renumbered in this order. None keeps all classes.
            The split is drawn on the whole data set before classes are removed, so a row stays on its side of the
            split. A row also keeps its caption.
        templates: sentences with `{}` for the word of the class or `{a}` for the word with its article. Without
            templates there are no captions.
        limit: number of training rows to keep, 1 or more: the first ones of a fixed shuffle. So the rows of a smaller
            limit are a subset of the rows of a larger one. None keeps all.
        split_seed: seed of the split and of the limit. It is not the seed of a run, because all runs have to compare
            with the same rows.
        validation_fraction: share of the training rows of every label, in (0, 1), that is kept for a fit to choose its
            weights on (`model.selection`). No model is trained on them, and no metric reads them. None keeps none.

    Raises:
        UserError: when reference_fraction, validation_fraction, only or templates have a wrong value.
    """

    image_size: Side | None = None
    reference_fraction: float | None = None
    only: Sequence[int | str] | None = None
    templates: Sequence[str] = ()
    limit: Count | None = None
    split_seed: Whole = 0
    validation_fraction: float | None = None

    version: ClassVar[int] = 1
    # These arguments say where the files lie, not what the files contain, so `key` leaves them out
    location_arguments: ClassVar[frozenset[str]] = frozenset({"root", "cache"})

    def __post_init__(self) -> None:
        check_fractions({"reference": self.reference_fraction, "validation": self.validation_fraction}, "row")
        check_only(self.only)
        check_templates(self.templates)

    @abstractmethod
    def contents(self) -> Mapping[str, Any]:
        """Return checksums or listings that identify the files, without decoding a picture."""

    @abstractmethod
    def read(self) -> LabelledImages:
        """Read all rows, in the order in which the data set publishes them."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Return the word of each label of the whole data set."""

    @property
    @abstractmethod
    def native_shape(self) -> tuple[int, int, int]:
        """Return the shape (c, h, w) of a picture as the data set publishes it."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return every caption that a row or a prompt may carry, sorted."""
        return vocabulary_of(self.templates, self.words)

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Return the numbers of the classes that are kept, in the order of their new labels."""
        return numbers_of(self.only, self.classes)

    @property
    def words(self) -> tuple[str, ...]:
        """Return the word of each label of the classes that are kept."""
        return tuple(self.classes[number] for number in self.kept)

    def keeps(self, labels: np.ndarray) -> np.ndarray:
        """Return a mask (n,) bool of the rows that `only` keeps.

        Args:
            labels: (n,), the labels of rows of the whole data set.
        """
        return np.ones(len(labels), bool) if self.only is None else np.isin(labels, self.kept)

    @cached_property
    def key(self) -> str:
        """Return 16 hex digits that change whenever a row, a label, a caption or the split changes."""
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.location_arguments}
        for name in ("only", "validation_fraction"):
            # Stores have keys that are older than these arguments, so a data set without them keeps its old key
            if arguments[name] is None:
                del arguments[name]
        identity = [type(self).__name__, self.version, arguments, self.contents()]
        text = json.dumps(identity, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def decoded_from(self, *applied_later: str) -> str:
        """Return everything that the pixels of decoded pictures depend on.

        Args:
            applied_later: arguments of the subclass that act on decoded pictures alone, as those of this class do.
        """
        left_out = self.location_arguments | {f.name for f in fields(ImageDataset)} - {"image_size"} | {*applied_later}
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return json.dumps([self.version, arguments, self.contents()], sort_keys=True, default=list)

    @cached_property
    def spec(self) -> Spec:
        """Return the shape, the classes and the vocabulary, without reading the pictures."""
        return Spec("image", self.picture_shape, self.words, self.vocabulary)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Return the shape (c, h, w) of a picture after it is resized."""
        c, h, w = self.native_shape
        return (c, h, w) if self.image_size is None else (c, self.image_size, self.image_size)

    def load(self) -> RealData:
        """Return the rows of every part as tensors; this object reads them once."""
        return self._loaded

    def open(self) -> RealData[Rows]:
        """Return the same rows, which are gathered when they are asked for."""
        return self._opened

    @cached_property
    def _loaded(self) -> RealData:
        return self._opened.map(Samples.gathered)

    @cached_property
    def _opened(self) -> RealData[Rows]:
        import torch

        from collapse_lab.engine.view import View

        rows, kept, part = self._chosen(self._captioned(self.read()))
        if self._fits(rows.images):
            view = View.of(torch.from_numpy(np.ascontiguousarray(rows.images)), rows.file)
            view = view if kept is None else view.index_select(0, torch.from_numpy(kept))
        else:
            view = View.of(torch.from_numpy(self._resized(rows.images if kept is None else rows.images[kept])))
        samples: Samples[Rows] = Samples(view, rows.labels, rows.captions or Captions())
        train, reference, validation = (np.flatnonzero(part == number) for number in (TRAIN, REFERENCE, VALIDATION))
        trained = self._limited(train)
        return RealData(
            samples.take(trained),
            samples.take(reference),
            samples.take(validation) if self.validation_fraction is not None else None,
            None if rows.names is None else rows.names[trained].tolist(),
        )

    def _captioned(self, rows: LabelledImages) -> LabelledImages:
        """Return the rows with their captions.

        Raises:
            UserError: when a label has no word.
        """
        if self.classes and not (rows.labels.min() >= 0 and rows.labels.max() < len(self.classes)):
            raise UserError(
                f"{type(self).__name__} should have labels in 0..{len(self.classes) - 1} and has them from "
                f"{rows.labels.min()} to {rows.labels.max()}: replace its files by those of this data set"
            )
        if rows.captions is not None:
            return rows
        return replace(rows, captions=captions_of(rows.labels, self.templates, self.classes))

    def _chosen(self, rows: LabelledImages) -> tuple[LabelledImages, np.ndarray | None, np.ndarray]:
        """Return all images with the labels, captions and names of the classes that are kept.

        Returns:
            The images, labels, captions and names; the numbers of the images that are kept, None for all; and the part
            that each row belongs to.
        """
        labels, part = rows.labels.astype(np.int64), self._parts(rows)
        if self.only is None:
            return replace(rows, labels=labels), None, part
        kept = np.flatnonzero(self.keeps(labels))
        labels, part = renumbered(labels[kept], self.kept), part[kept]
        self._check_parts(part)
        captions = rows.captions.take(kept) if rows.captions else Captions()
        if captions.table:
            # The table still has the captions of the removed classes, so make a new one
            captions = Captions.of(captions.texts())
        names = None if rows.names is None else rows.names[kept]
        return replace(rows, labels=labels, captions=captions, names=names), kept, part

    def _fits(self, images: np.ndarray) -> bool:
        return self.image_size is None or images.shape[2:] == (self.image_size, self.image_size)

    def _resized(self, images: np.ndarray) -> np.ndarray:
        from PIL import Image

        size, channels = self.image_size, images.shape[1]
        pictures = (x[0] if channels == 1 else x.transpose(1, 2, 0) for x in images)
        return np.stack([pixels(Image.fromarray(x), size, channels) for x in pictures])

    def _check_parts(self, part: np.ndarray) -> None:
        """Refuse classes that leave a part without rows."""
        train, reference, validation = (int((part == number).sum()) for number in (TRAIN, REFERENCE, VALIDATION))
        if not train or not reference:
            raise UserError(
                f"only={list(self.only or ())} leaves {train} rows to train on and {reference} for reference, and both "
                "must have some: keep more classes"
            )
        if self.validation_fraction is not None and not validation:
            raise UserError(
                f"only={list(self.only or ())} leaves no row of validation_fraction={self.validation_fraction}: keep "
                "more classes, or raise the fraction"
            )

    def _parts(self, rows: LabelledImages) -> np.ndarray:
        """Return the part that each row of the whole data set belongs to, (n,)."""
        part = np.where(self._reference(rows), REFERENCE, TRAIN)
        if self.validation_fraction is not None:
            train = np.flatnonzero(part == TRAIN)
            held = stratified(rows.labels[train], self.validation_fraction, self.split_seed, "validation")
            part[train[held]] = VALIDATION
        return part

    def _reference(self, rows: LabelledImages) -> np.ndarray:
        if self.reference_fraction is not None:
            return stratified(rows.labels, self.reference_fraction, self.split_seed)
        if rows.test is None:
            raise UserError(
                f"{type(self).__name__} has no official test rows: give reference_fraction, for example 0.3"
            )
        return rows.test

    def _limited(self, train: np.ndarray) -> np.ndarray:
        if self.limit is None:
            return train
        if self.limit > len(train):
            raise UserError(
                f"limit asks for {self.limit} training rows and there are {len(train)}: lower it or remove it"
            )
        rng = np.random.default_rng([self.split_seed, 1])
        return np.sort(rng.permutation(train)[: self.limit])
