"""A view of rows that lie in several blocks, mapped files among them: rows are gathered when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse_lab.images import as_float
from collapse_lab.storage.mapped import MappedFile, offset_in
from collapse_lab.types import Conditions, Rows, Samples


@dataclass(frozen=True)
class Source:
    """Hold a block of rows, and the file in which they lie.

    Attributes:
        rows: the rows (n, …), in memory or mapped.
        file: the file; None for rows in memory.
    """

    rows: Tensor
    file: MappedFile | None = None

    def checked(self) -> Tensor:
        """Return the rows.

        Raises:
            UserError: the file was written to.
        """
        if self.file is not None:
            self.file.check()
        return self.rows

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes this source: it maps the file too, so that no rows are copied.

        Rows that are in memory, and rows whose place in their file is not known, are copied.
        """
        place = offset_in(self.file, self.rows.data_ptr()) if self.file and self.rows.is_contiguous() else None
        if place is None or not self.rows.numel():
            return Source, (self.rows, self.file)
        return _mapped_again, (self.file, place, tuple(self.rows.shape), self.rows.dtype)


def _mapped_again(file: MappedFile, place: int, shape: tuple[int, ...], dtype: torch.dtype) -> Source:
    """Return the rows that lie at a place of a file.

    Raises:
        UserError: the file was written to since it was first mapped.
    """
    file.check()
    size = math.prod(shape) * dtype.itemsize
    # Mapped as copied on writing, because torch has no tensors that cannot be written to
    stored = np.memmap(file.path, np.uint8, "c", place, (size,))
    return Source(torch.from_numpy(stored).view(dtype).view(shape), file)


class View:
    """Give rows of some blocks in any order, and copy nothing before they are asked for (`Rows`).

    Where the blocks hold uint8 and float32, as real pictures and a family's samples may, all rows are given as float32
    in [-1, 1].

    Args:
        sources: one block or more, with rows of one shape.
        row: the place (n,) of each row in its block, int64; None means all rows of the only block.
        block: the number (n,) of each row's block; None where there is one block.
    """

    def __init__(self, sources: Sequence[Source], row: Tensor | None = None, block: Tensor | None = None) -> None:
        self.sources, self._row, self._block = tuple(sources), row, block
        types = {source.rows.dtype for source in self.sources}
        self.dtype = types.pop() if len(types) == 1 else torch.float32
        first = self.sources[0].rows
        self.ndim = first.ndim
        self.shape = (first.shape[0] if row is None else len(row), *first.shape[1:])

    @classmethod
    def of(cls, rows: Rows, file: MappedFile | None = None) -> View:
        """Return all rows of a tensor, in their order; a view is returned as it is."""
        return rows if isinstance(rows, cls) else cls([Source(rows[:], file)])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        if self._row is None:
            return self.sources[0].checked()[rows]
        row = self._row[rows]
        if self._block is None:
            return self.sources[0].checked().index_select(0, row)
        block = self._block[rows]
        out = torch.empty((len(row), *self.shape[1:]), dtype=self.dtype)
        for number in torch.unique(block).tolist():
            places = torch.nonzero(block == number)[:, 0]
            part = self.sources[number].checked().index_select(0, row[places])
            part = part if part.dtype == self.dtype else as_float(part)
            out.numpy()[places.numpy()] = part.numpy()  # because torch took 3 times as long to write rows to places
        return out

    def index_select(self, dim: int, index: Tensor, /) -> View:
        """Return the rows with these numbers, still to be gathered; `dim` is 0."""
        if dim != 0:
            raise ValueError(f"rows are chosen along axis 0, not {dim}")
        row = index if self._row is None else self._row[index]
        return View(self.sources, row, None if self._block is None else self._block[index])

    @classmethod
    def joined(cls, parts: Sequence[tuple[Rows, Tensor]]) -> View:
        """Return the rows of several parts, each at its places among all rows.

        Args:
            parts: rows, and the numbers (n,) of their places; every place belongs to one part.
        """
        n = sum(len(places) for _, places in parts)
        sources: list[Source] = []
        row, block = torch.empty(n, dtype=torch.int64), torch.empty(n, dtype=torch.int32)
        for rows, places in parts:
            view = cls.of(rows)
            row[places] = torch.arange(len(view)) if view._row is None else view._row
            block[places] = len(sources) if view._block is None else view._block + len(sources)
            sources += view.sources
        return cls(sources, row, None if len(sources) == 1 else block)


def viewed(samples: Samples[Rows]) -> Samples[Rows]:
    """Return samples as a view, so that taking rows of them copies nothing."""
    return Samples(View.of(samples.data), samples.labels, samples.captions)


def gathers(plug: Any) -> bool:
    """Return whether the class of an object says that it takes rows still to be gathered."""
    return bool(getattr(plug, "gathers", False))


def given(plug: Any, samples: Samples[Rows]) -> Samples:
    """Return samples in the form that an object takes: views where its class says `gathers`, else tensors.

    What is written outside this repository knows tensors alone, so it is not given anything else unless it asks.

    Args:
        plug: a family, an extractor, a curation or a probe.
        samples: rows that may be still to be gathered.
    """
    return samples if gathers(plug) else samples.gathered()  # type: ignore[return-value]


def asked(model: Any, conditions: Conditions) -> Conditions:
    """Return conditions in the form that a family takes: what samples begin with is a tensor unless it says `gathers`.

    Args:
        model: a family.
        conditions: what to sample.
    """
    if conditions.context is None or gathers(model):
        return conditions
    return replace(conditions, context=conditions.context[:])
