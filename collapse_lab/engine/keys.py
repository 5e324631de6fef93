"""The key of every kind of stage: which facts it is hashed over, and why.

A key is known before the stage is computed. Two stages of one key have the same value, so the store computes it once.
Fields that equal their defaults are left out of the hash, so a new field with a default changes no key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from collapse_lab.types import Conditions, Rows, Split

HASHED = 2**24  # how many numbers of rows are hashed at a time

Identity = Mapping[str, Any]  # {"class", "version", "arguments"}, as `config.identity.identify` makes it


@dataclass(frozen=True)
class StageKey:
    """Hold the facts that one kind of stage depends on, besides its parents.

    Attributes:
        kind: the folder of the store that the stage lies in.
    """

    kind: ClassVar[str]

    def facts(self) -> dict[str, Any]:
        """Return the facts by name, less those that equal their defaults."""
        pairs = [(field, getattr(self, field.name)) for field in fields(self)]
        return {field.name: value for field, value in pairs if field.default is MISSING or value != field.default}

    def digest(self, parents: Sequence[str] = ()) -> str:
        """Return 32 hex digits of SHA-256 over kind, facts and the keys of the parents."""
        return digest({"kind": self.kind, "parents": list(parents), **self.facts()}, 32)


@dataclass(frozen=True)
class RealKey(StageKey):
    """Identify the real rows that may be trained on. They are never stored: the data set holds them.

    Attributes:
        dataset: the data set's own key, since it says which rows there are.
        base: numbers of the training rows that the base prompt set admits.
    """

    kind: ClassVar[str] = "real"

    dataset: str
    base: tuple[int, ...]


@dataclass(frozen=True)
class FitKey(StageKey):
    """Identify the weights that a fit gives. The weights it starts from, and the samples among its rows, are parents.

    Attributes:
        model: the family's identity without the arguments that act on sampling alone, so that a sweep over those
            shares its fits. A fit from fresh weights leaves out too what acts in warm fits alone.
        steps, batch_size, precision, gradient_clip: the budget. The device is left out, because it is not meant to
            change a result.
        rows: a digest of which rows of which stages are trained on, in their order.
        vocabulary: the captions of the data set, because a text encoder numbers its words by them.
        seeds: the place in the tree of seeds.
        validation: a digest of the rows on which the fit chooses its weights, empty where it keeps the last ones.
        arithmetic: how a GPU computes. Samples have it through their fit.
        row_weights: a digest of the weights of the rows, empty where all of them count the same.
        accumulate: parts that the rows of a step are computed in; a family may draw its random numbers part by part.
        devices: processes that the rows of a part are divided over; their dropout differs from that of one process.
        judge: a digest of what the fit judges the images by that it samples, to choose its weights; empty where it
            samples none.
    """

    kind: ClassVar[str] = "fit"

    model: Identity
    steps: int
    batch_size: int
    rows: str
    seeds: tuple[int | str, ...]
    precision: str = "32-true"
    gradient_clip: float | None = 1.0
    vocabulary: tuple[str, ...] = ()
    validation: str = ""
    arithmetic: str = "exact"
    row_weights: str = ""
    accumulate: int = 1
    devices: int = 1
    judge: str = ""


@dataclass(frozen=True)
class SampleKey(StageKey):
    """Identify the samples of a fitted model. The fit is its parent.

    Attributes:
        sampling: the model's arguments that act on sampling, less those that equal their defaults.
        conditions: a digest of the labels and prompts (`digest_of_conditions`).
        seeds: the place in the tree of seeds.
    """

    kind: ClassVar[str] = "sample"

    sampling: Mapping[str, Any]
    conditions: str
    seeds: tuple[int | str, ...]


@dataclass(frozen=True)
class CuratedKey(StageKey):
    """Identify curated samples. The samples, and the classifier that scores them, are its parents.

    Attributes:
        curation: the identity of the curation.
        dataset: the data set's key, because curation may compare with real rows.
        seeds: the place in the tree of seeds.
        scorer: a digest of the identity of the feature space that scores the samples, empty where none does.
    """

    kind: ClassVar[str] = "curated"

    curation: Identity
    dataset: str
    seeds: tuple[int | str, ...]
    scorer: str = ""


@dataclass(frozen=True)
class ExtractorKey(StageKey):
    """Identify the weights of a feature extractor that is trained on the real data.

    Attributes:
        extractor: its identity, which holds a seed of its own: the run's seed is no part of it, so that every run on
            a data set measures with the same network.
        dataset: the data set's key.
    """

    kind: ClassVar[str] = "extractor"

    extractor: Identity
    dataset: str


@dataclass(frozen=True)
class FeaturesKey(StageKey):
    """Identify the features of samples. The samples, and the extractor where it is trained here, are its parents.

    Attributes:
        extractor: the identity of the extractor.
    """

    kind: ClassVar[str] = "features"

    extractor: Identity


@dataclass(frozen=True)
class RealFeaturesKey(StageKey):
    """Identify the features of real rows. The extractor is its parent where it is trained here.

    Attributes:
        extractor: the identity of the extractor.
        dataset: the data set's key.
        split: the part of the data set that the rows are of.
        rows: a digest of the numbers of the rows (`digest_of_array`).
    """

    kind: ClassVar[str] = "features"

    extractor: Identity
    dataset: str
    split: Split
    rows: str


@dataclass(frozen=True)
class FeaturesPartKey(RealFeaturesKey):
    """Identify the features of some of many real rows, which are kept until those of all are there."""

    kind: ClassVar[str] = "features_part"


@dataclass(frozen=True)
class FloorKey(StageKey):
    """Identify a metric of real against real rows. The features of both splits are its parents.

    Attributes:
        metric: the identity of the metric.
        rows: digests of the masks of the prompt set in the train and in the reference split.
        n: how many real rows stand in for generated ones.
        groups: a digest of the prompts that a metric takes as groups, in their order; empty where it takes none.
        additions: how often the metric was given further numbers under the same version, which earlier floors lack.
    """

    kind: ClassVar[str] = "floor"

    metric: Identity
    rows: tuple[str, ...]
    n: Any
    groups: str = ""
    additions: int = 0


@dataclass(frozen=True)
class KnownKey(StageKey):
    """Identify what a metric computes from real rows alone. The features of their split are its parent.

    Attributes:
        metric: the identity of the metric.
        rows: a digest of the mask of the prompt set in the split.
    """

    kind: ClassVar[str] = "known"

    metric: Identity
    rows: str


@dataclass(frozen=True)
class EncodingKey(StageKey):
    """Identify what a family's encoder makes of rows. Where samples are encoded, their stage is the parent.

    Attributes:
        encoder: the identity of the encoder.
        rows: a digest of the numbers of the rows (`digest_of_array`).
        block: the key of the real rows (`RealKey`); empty where samples are encoded.
    """

    kind: ClassVar[str] = "encoding"

    encoder: Identity
    rows: str
    block: str = ""


@dataclass(frozen=True)
class PromptsKey(StageKey):
    """Identify what a family's encoder makes of prompts.

    Attributes:
        encoder: the identity of the encoder.
        texts: a digest of the prompts, in their order.
    """

    kind: ClassVar[str] = "encoding"

    encoder: Identity
    texts: str


def digest(value: Any, length: int) -> str:
    """Return the first `length` hex digits of SHA-256 over the canonical JSON of plain values.

    Raises:
        ValueError: a number is NaN.
    """
    text = json.dumps(whole_numbers(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def whole_numbers(value: Any) -> Any:
    """Return the value with 1.0 written as 1, because a command line may write either, and infinity as a text."""
    if isinstance(value, Mapping):
        return {str(key): whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)  # because JSON has no infinity
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest_of_conditions(conditions: Conditions) -> str:
    """Return 32 hex digits of SHA-256 over labels, prompts and what is to be continued."""
    sha = hashlib.sha256(np.ascontiguousarray(conditions.labels, np.int64).tobytes())
    for text in conditions.captions.texts():
        sha.update(text.encode() + b"\0")
    if conditions.context is not None:
        for part in _bytes_of(conditions.context):
            sha.update(part)
    return sha.hexdigest()[:32]


def digest_of_rows(rows: Rows) -> str:
    """Return 32 hex digits of SHA-256 over the bytes of rows: that of `digest_of_array` of all of them."""
    sha = hashlib.sha256()
    for part in _bytes_of(rows):
        sha.update(part)
    return sha.hexdigest()[:32]


def _bytes_of(rows: Rows) -> Iterator[bytes]:
    """Yield the bytes of rows part by part, because pictures that lie in files may not fit into the memory."""
    size = max(1, HASHED // max(1, math.prod(rows.shape[1:])))
    for low in range(0, len(rows), size):
        yield rows[low : low + size].contiguous().numpy().tobytes()


def digest_of_array(array: np.ndarray) -> str:
    """Return 32 hex digits of SHA-256 over the bytes of an array."""
    return hashlib.sha256(array.tobytes()).hexdigest()[:32]
