"""The pool: everything that may be trained on, with the provenance of every row."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from collapse_lab.types import REAL, Captions, Samples


@dataclass(frozen=True)
class Block:
    """Rows that entered the pool together. Nothing is loaded until rows are viewed.

    key: of the stage, or the data set, that made the rows.
    source: 0 for real rows, k + 1 for model k of the population.
    eligible: mask (n,), the rows that generations after 0 may train on; None means every row.
    """

    key: str
    source: int
    born: int
    labels: np.ndarray
    load: Callable[[], Samples]
    eligible: np.ndarray | None = None


@dataclass(frozen=True)
class Provenance:
    """Where each of n rows comes from; all that a mixing policy may look at.

    ids: (n,) the rows' numbers in the pool.  source, born, labels: (n,), as in `Block`.
    eligible: (n,) bool, whether generations after 0 may train on the row.
    """

    ids: np.ndarray
    source: np.ndarray
    born: np.ndarray
    labels: np.ndarray
    eligible: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: np.ndarray) -> Provenance:
        """The rows that the mask (n,) selects, in order."""
        return Provenance(self.ids[mask], self.source[mask], self.born[mask], self.labels[mask], self.eligible[mask])

    @property
    def real(self) -> Provenance:
        return self.where(self.source == REAL)

    @property
    def synthetic(self) -> Provenance:
        return self.where(self.source != REAL)


class Pool:
    """Append-only; row numbers never change. Generations enter in their order, so that looking back is no search."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._offsets = [0]
        self._born: list[int] = []
        self._real: list[int] = []

    def append(self, block: Block) -> None:
        """Adds rows after all others.

        Raises:
            ValueError: they were born before rows that are there.
        """
        if self._born and block.born < self._born[-1]:
            raise ValueError(f"a block of generation {block.born} after one of generation {self._born[-1]}")
        if block.source == REAL:
            self._real.append(len(self._blocks))
        self._blocks.append(block)
        self._born.append(block.born)
        self._offsets.append(self._offsets[-1] + len(block.labels))

    def __len__(self) -> int:
        return self._offsets[-1]

    def provenance(self, since: int = 0) -> Provenance:
        """Of all real rows, and of the synthetic rows born in generation `since` or later."""
        recent = bisect_left(self._born, since)
        chosen = [i for i in self._real if i < recent] + list(range(recent, len(self._blocks)))
        parts = [(self._blocks[i], self._offsets[i], self._offsets[i + 1]) for i in chosen]
        return Provenance(
            ids=_join([np.arange(lo, hi) for _, lo, hi in parts]),
            source=_join([np.full(hi - lo, b.source) for b, lo, hi in parts]),
            born=_join([np.full(hi - lo, b.born) for b, lo, hi in parts]),
            labels=_join([b.labels for b, _, _ in parts]),
            eligible=_join(
                [np.ones(hi - lo, bool) if b.eligible is None else b.eligible for b, lo, hi in parts]
            ).astype(bool),
        )

    def view(self, ids: np.ndarray) -> Samples:
        """The rows, in the order asked for."""
        import torch

        from collapse_lab.images import as_float

        block_of, row = self._locate(ids)
        found = np.unique(block_of)
        if len(found) == 0:
            raise ValueError("a view of no rows")
        if len(found) == 1:
            return self._blocks[int(found[0])].load().take(row)
        data: torch.Tensor | None = None
        labels = np.empty(len(ids), np.int64)
        texts = np.full(len(ids), "", dtype=object)  # no caption is the empty prompt
        captioned = False
        for number in found:
            here = np.flatnonzero(block_of == number)
            part = self._blocks[number].load().take(row[here])
            rows = part.data
            if data is None:
                data = torch.empty((len(ids), *rows.shape[1:]), dtype=rows.dtype)
            elif rows.dtype != data.dtype:  # real pictures are uint8, and a family may keep float32
                data, rows = as_float(data), as_float(rows)
            data[torch.from_numpy(here)] = rows
            labels[here] = part.labels
            if part.captions.table:
                captioned = True
                texts[here] = part.captions.texts()
        assert data is not None
        return Samples(data, labels, Captions.of(list(texts)) if captioned else Captions())

    def digest(self, ids: np.ndarray) -> str:
        """SHA-256 over which rows of which stages these are: equal for equal training sets of any two runs."""
        block_of, row = self._locate(ids)
        sha = hashlib.sha256()
        for number in np.unique(block_of):
            sha.update(self._blocks[number].key.encode())
        order = np.unique(block_of, return_inverse=True)[1]
        sha.update(np.ascontiguousarray(order, np.int64).tobytes())
        sha.update(np.ascontiguousarray(row, np.int64).tobytes())
        return sha.hexdigest()[:32]

    def keys(self, ids: np.ndarray) -> list[str]:
        """Keys of the blocks that the rows belong to, in the order in which they entered the pool."""
        return [self._blocks[number].key for number in np.unique(self._locate(ids)[0])]

    def counts(self, ids: np.ndarray) -> dict[str, int]:
        """How many of the rows are real and how many synthetic."""
        numbers, rows = np.unique(self._locate(ids)[0], return_counts=True)
        real = sum(int(n) for number, n in zip(numbers, rows, strict=True) if self._blocks[number].source == REAL)
        return {"real": real, "synthetic": len(ids) - real}

    def _locate(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The block of each row, and its place there; only the blocks between the first and the last are looked at."""
        if len(ids) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first = bisect_right(self._offsets, int(ids.min())) - 1
        last = bisect_right(self._offsets, int(ids.max()))
        offsets = np.array(self._offsets[first:last])
        block_of = np.searchsorted(offsets, ids, side="right") - 1
        return block_of + first, ids - offsets[block_of]


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
