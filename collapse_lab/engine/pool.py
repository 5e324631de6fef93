"""The pool: everything that may be trained on, with the provenance of every row."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collapse_lab.types import REAL, Captions, Provenance, Rows, Samples


@dataclass(frozen=True)
class Block:
    """Hold rows that entered the pool together. Nothing is loaded until rows are viewed.

    Attributes:
        key: the key of the stage, or of the data set, that made the rows.
        source: 0 for real rows, k + 1 for model k of the population.
        born: the generation that sampled the rows; -1 for real rows.
        labels: (n,) int64, -1 where a row has none.
        load: returns the rows, which may be gathered when they are asked for.
        eligible: mask (n,) of the rows that generations after 0 may train on; None means every row.
        prompts: (n,) int64, the numbers of the prompts (`PromptNumbers`); None means that the label is the prompt.
        owners: (n,) int64, the owner of each real row (`engine.domains`); None means that no row is private.
    """

    key: str
    source: int
    born: int
    labels: np.ndarray
    load: Callable[[], Samples[Rows]]
    eligible: np.ndarray | None = None
    prompts: np.ndarray | None = None
    owners: np.ndarray | None = None


class PromptNumbers:
    """Number the prompts of a run, a prompt being a label and a caption, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}

    def of(self, labels: np.ndarray, captions: Captions) -> np.ndarray:
        """Return the number of the prompt of each row.

        Args:
            labels: (n,) int64, -1 where a row has none.
            captions: of the n rows, or no captions.

        Returns:
            The numbers (n,), int64.
        """
        texts = captions.table or ("",)
        index = captions.index if captions.table else np.zeros(len(labels), np.int64)
        pairs, row = np.unique(labels * len(texts) + index, return_inverse=True)
        prompts = [(int(pair // len(texts)), texts[int(pair % len(texts))]) for pair in pairs]
        return np.array([self._numbers.setdefault(p, len(self._numbers)) for p in prompts], np.int64)[row]


class Pool:
    """Hold everything that may be trained on. Blocks are only appended, so row numbers never change.

    Generations enter in their order, so that the rows since some generation are the last blocks.
    """

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._offsets = [0]
        self._born: list[int] = []
        self._real: list[int] = []

    def append(self, block: Block) -> None:
        """Add rows after all others.

        Raises:
            ValueError: the rows were born before rows that the pool holds already.
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
        """Return the provenance of all real rows, and of the synthetic rows born in generation `since` or later."""
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
            prompts=_join([b.labels if b.prompts is None else b.prompts for b, _, _ in parts]),
            owner=_join([np.zeros(hi - lo, np.int64) if b.owners is None else b.owners for b, lo, hi in parts]),
        )

    def view(self, ids: np.ndarray) -> Samples[Rows]:
        """Return the rows with these numbers, in this order; those of large blocks are still to be gathered."""
        import torch

        from collapse_lab.engine.view import View

        block_of, row = self._locate(ids)
        blocks = np.unique(block_of)
        if len(blocks) == 0:
            raise ValueError("a view of no rows")
        if len(blocks) == 1:
            return self._blocks[int(blocks[0])].load().take(row)
        parts: list[tuple[Rows, torch.Tensor]] = []
        labels = np.empty(len(ids), np.int64)
        texts = np.full(len(ids), "", dtype=object)  # no caption is the empty prompt
        captioned = False
        for number in blocks:
            places = np.flatnonzero(block_of == number)
            part = self._blocks[number].load().take(row[places])
            parts.append((part.data, torch.from_numpy(places)))
            labels[places] = part.labels
            if part.captions.table:
                captioned = True
                texts[places] = part.captions.texts()
        return Samples(View.joined(parts), labels, Captions.of(list(texts)) if captioned else Captions())

    def digest(self, ids: np.ndarray) -> str:
        """Return SHA-256 over which rows of which stages these are, equal for equal training sets of any two runs."""
        block_of, row = self._locate(ids)
        sha = hashlib.sha256()
        for number in np.unique(block_of):
            sha.update(self._blocks[number].key.encode())
        order = np.unique(block_of, return_inverse=True)[1]
        sha.update(np.ascontiguousarray(order, np.int64).tobytes())
        sha.update(np.ascontiguousarray(row, np.int64).tobytes())
        return sha.hexdigest()[:32]

    def keys(self, ids: np.ndarray) -> list[str]:
        """Return the keys of the blocks that the rows belong to, in the order in which the blocks entered the pool."""
        return [self._blocks[number].key for number in np.unique(self._locate(ids)[0])]

    def blocks(self, ids: np.ndarray) -> list[tuple[Block, np.ndarray, np.ndarray]]:
        """Return each block that the rows belong to, with the rows' numbers in it and their places among the ids."""
        block_of, row = self._locate(ids)
        places = [(number, np.flatnonzero(block_of == number)) for number in np.unique(block_of)]
        return [(self._blocks[number], row[chosen], chosen) for number, chosen in places]

    def counts(self, ids: np.ndarray, teachers: Mapping[int, str] | None = None) -> dict[str, int]:
        """Return how many of the rows are real and how many are synthetic, and by source where there are several.

        Args:
            ids: the numbers of the rows.
            teachers: source -> the name of a model whose rows the model may train on.

        Returns:
            `real` and `synthetic`; `private` and `public` where real rows have owners; `from_NAME` for each
            teacher.
        """
        block_of, row = self._locate(ids)
        numbers, rows = np.unique(block_of, return_counts=True)
        by_source: dict[int, int] = {}
        for number, n in zip(numbers, rows, strict=True):
            source = self._blocks[number].source
            by_source[source] = by_source.get(source, 0) + int(n)
        real = by_source.get(REAL, 0)
        counts = {"real": real, "synthetic": len(ids) - real}
        for number in self._real:
            owners = self._blocks[number].owners
            if owners is not None:
                private = int((owners[row[block_of == number]] > 0).sum())
                counts |= {"private": private, "public": real - private}
        return counts | {f"from_{name}": by_source.get(source, 0) for source, name in (teachers or {}).items()}

    def _locate(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the block of each row and its place there; only blocks between the first and the last are searched."""
        if len(ids) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first = bisect_right(self._offsets, int(ids.min())) - 1
        last = bisect_right(self._offsets, int(ids.max()))
        offsets = np.array(self._offsets[first:last])
        block_of = np.searchsorted(offsets, ids, side="right") - 1
        return block_of + first, ids - offsets[block_of]


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
