"""Rows of data: what a data set promises, what models are trained on and sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:  # because torch takes seconds to import, and the report, --help and a refusal do without it
    import torch
    from torch import Tensor
    from typing_extensions import TypeVar

    R = TypeVar("R", bound="Rows", covariant=True, default=Tensor)
    S = TypeVar("S", bound="Rows")
else:
    from typing import TypeVar

    R, S = TypeVar("R"), TypeVar("S")

Modality = Literal["image", "points", "tokens"]
Split = Literal["train", "reference"]
Weights = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Tokens:
    """Say how texts are rows of tokens, and how they read.

    Attributes:
        size: the number of tokens; ids lie in [0, size).
        identity: SHA-256 of the serialised tokenizer. A pretrained model has to have the same one.
        decode: a function from rows of tokens (n, length) to n texts.
        serialised: a function that returns the tokenizer as JSON of the library `tokenizers`; None where it has none.
        end: the token between one document and the next, None where there is none.
    """

    size: int
    identity: str
    decode: Callable[[Tensor], list[str]]
    serialised: Callable[[], str] | None = None
    end: str | None = None


@dataclass(frozen=True)
class Spec:
    """Say what a data set promises to models and feature extractors.

    Attributes:
        modality: what a sample is.
        shape: the shape of one sample, such as (1, 8, 8) for an 8x8 grey image.
        classes: the word for each label, () where rows have no label.
        vocabulary: every distinct caption that a row or a prompt of this data set may carry, sorted.
        tokens: what rows of tokens mean, None where samples are not tokens.
    """

    modality: Modality
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    tokens: Tokens | None = None


@runtime_checkable
class Rows(Protocol):
    """Give rows of data when they are asked for: a tensor, or a view of rows that lie in files.

    It is the part of a tensor that a family needs to train on a batch after another. What is asked for is a tensor;
    only `index_select` gives rows that are still to be gathered, so that it copies nothing.
    """

    @property
    def shape(self) -> Sequence[int]:
        """Return the shape (n, …) of all rows."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the numbers."""
        ...

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        """Return a run of rows, or the rows with these numbers, int64."""
        ...

    def index_select(self, dim: int, index: Tensor, /) -> Rows:
        """Return the rows with these numbers, int64; `dim` is 0."""
        ...


@dataclass(frozen=True)
class Captions:
    """Hold n captions as a table of distinct texts and an index into it.

    Attributes:
        table: the distinct texts; an empty table means that there are no captions.
        index: (n,) int64, the number of each caption in the table.
    """

    table: tuple[str, ...] = ()
    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, texts: Sequence[str]) -> Captions:
        """Return the captions of n texts, in their order."""
        # Because NumPy would store every text at the length of the longest one, number them by a dictionary
        number = {text: place for place, text in enumerate(sorted({str(text) for text in texts}))}
        return cls(tuple(number), np.fromiter((number[str(text)] for text in texts), np.int64, len(texts)))

    def take(self, rows: np.ndarray) -> Captions:
        """Return the captions of some rows, in the order of their numbers."""
        return Captions(self.table, self.index[rows]) if self.table else self

    def texts(self) -> list[str]:
        """Return the n texts."""
        return [self.table[i] for i in self.index]


@dataclass(frozen=True)
class Samples(Generic[R]):
    """Hold rows of data with their conditions.

    `Samples` alone means that the data are a tensor. `Samples[Rows]` may be rows that are gathered when they are asked
    for; what says so in a class attribute `gathers` (True) is given such rows, and everything else a tensor.

    Attributes:
        data: (n, *shape). Images are uint8 in [0, 255], channel first, quantised as a published picture is; a family
            may keep float32 in [-1, 1]. Points are float64, and a row holds a point of each of R replicas, (R, d),
            because late in a chain of thousands of fits float32 loses 1e-3 of the spread that is left. Tokens are
            int64.
        labels: (n,) int64, -1 where a row has none.
        captions: of the n rows, or no captions.
        encoded: (n, …) what a family's encoder makes of the rows (`Encoder`); None where there is none, or where the
            family encodes the rows itself.
    """

    data: R
    labels: np.ndarray
    captions: Captions = field(default_factory=Captions)
    encoded: Rows | None = None

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def take(self, rows: np.ndarray) -> Samples[R]:
        """Return some rows, in the order of their numbers."""
        import torch

        index = torch.from_numpy(rows)
        chosen: R = self.data.index_select(0, index)  # type: ignore[assignment]
        encoded = None if self.encoded is None else self.encoded.index_select(0, index)
        return Samples(chosen, self.labels[rows], self.captions.take(rows), encoded)

    def gathered(self) -> Samples:
        """Return the same rows as a tensor; rows that are one already, or one file as a whole, are not copied."""
        return Samples(self.data[:], self.labels, self.captions, self.encoded)


@dataclass(frozen=True)
class RealData(Generic[R]):
    """Hold a real data set in parts that never change: rows of `reference` are never trained on.

    Attributes:
        train: The rows that models may be trained on.
        reference: The rows that generated ones are compared with.
        validation: The rows that a fit may choose its weights on, and never trains on; None where none were set apart.
        files: The name of the file of each row of `train`, in their order; None where rows have no files of their own.
    """

    train: Samples[R]
    reference: Samples[R]
    validation: Samples[R] | None = None
    files: Sequence[str] | None = None

    def map(self, change: Callable[[Samples[R]], Samples[S]]) -> RealData[S]:
        """Return what a function makes of each part."""
        validation = None if self.validation is None else change(self.validation)
        return RealData(change(self.train), change(self.reference), validation, self.files)


@dataclass(frozen=True)
class Conditions:
    """Hold what is to be sampled: n labels and n prompts, fixed before anything is generated.

    Attributes:
        labels: (n,) int64, -1 for none.
        captions: the n prompts, or no captions.
        context: what each sample begins with, None for nothing: tokens (n, length) that it continues, int64, or
            pictures (n, c, h, w), uint8, that it is drawn from (image-to-image). Pictures may be still to be gathered
            from their files; a family that does not say `gathers` is given a tensor.
        rows: (n,) int64, the numbers of the training rows that the pictures of `context` are; None where it holds none.
        encoded: (n, …) what a family's encoder makes of the pictures of `context`; None where the family encodes them
            itself.
    """

    labels: np.ndarray
    captions: Captions
    context: Rows | None = None
    rows: np.ndarray | None = None
    encoded: Rows | None = None

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def take(self, rows: np.ndarray) -> Conditions:
        """Return some conditions, in the order of their numbers; a number may come again."""
        import torch

        context = None if self.context is None else self.context.index_select(0, torch.from_numpy(rows))
        numbers = None if self.rows is None else self.rows[rows]
        return Conditions(self.labels[rows], self.captions.take(rows), context, numbers)
