"""What every set of texts shares: its split by documents, its tokens, its blocks and its key."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version as release
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.texts.checkpoints import identity
from collapse_lab.texts.tokenizer import LEAST, Tokenizer, tokenizer
from collapse_lab.types import RealData, Samples, Spec


@dataclass(frozen=True)
class Documents:
    """The documents of a corpus, those to train on and those for reference.

    reference: () where the corpus has no official test documents.
    """

    train: Sequence[str]
    reference: Sequence[str] = ()


@dataclass(kw_only=True, eq=False)
class Corpus(ABC):
    """Texts as blocks of tokens: documents one after another, the mark of the end of text behind each, cut every
    `block` tokens; what is left behind the last cut is dropped.

    Documents are distinct, and come in an order that a hash gives, so that the first blocks are a fair sample.

    tokenizer: `bpe`, a byte-level BPE that is learnt from the training documents; or that of a language model, a
        folder, `stories15m`, `smollm2_135m` or a name on the hub.
    vocabulary: entries of `bpe`; of no effect otherwise.
    block: tokens of a row.
    train, reference: numbers of blocks; null takes all. A smaller number is a part of a larger.
    reference_fraction: share of the documents that are kept for reference, in (0, 1), which no block of `train` sees;
        null takes the official test documents.
    split_seed: draws the split and the order. It is no run's seed: all runs compare with the same rows.
    cache: the folder where tokenizers and what is fetched are kept.

    Raises UserError for a value out of range.
    """

    tokenizer: str = "bpe"
    vocabulary: int = 2048
    block: int = 64
    train: int | None = None
    reference: int | None = None
    reference_fraction: float | None = 0.2
    split_seed: int = 0
    cache: str = "~/.cache/collapse_lab"

    version: ClassVar[int] = 1
    # arguments that say where the files lie, not what is in them
    places: ClassVar[frozenset[str]] = frozenset({"root", "cache"})

    def __post_init__(self) -> None:
        for name, least in (("vocabulary", LEAST), ("block", 2), ("train", 1), ("reference", 1)):
            given = getattr(self, name)
            if given is not None and given < least:
                raise UserError(f"dataset.{name} is {least} or more; got {given}")
        if self.reference_fraction is not None and not 0 < self.reference_fraction < 1:
            raise UserError(
                f"reference_fraction must lie strictly between 0 and 1, got {self.reference_fraction}: "
                "0.2 keeps two documents in ten for reference"
            )

    @abstractmethod
    def contents(self) -> Mapping[str, Any]:
        """Checksums or listings that identify the files."""

    @abstractmethod
    def documents(self) -> Documents:
        """The documents, as the corpus publishes them."""

    @cached_property
    def key(self) -> str:
        """16 hex digits that change whenever a row or the split would."""
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.places}
        if arguments.pop("tokenizer") == "bpe":
            # which of two merges of equal counts comes first is the release's choice
            arguments["tokenizer"] = {"bpe": release("tokenizers")}
        else:
            arguments["tokenizer"] = identity(self.tokenizer)
            del arguments["vocabulary"]
        said = [type(self).__name__, self.version, arguments, self.contents()]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def spec(self) -> Spec:
        """The length of a block, and what its tokens mean."""
        return Spec("tokens", (self.block,), tokens=self._tokenizer.tokens)

    def load(self) -> RealData:
        """The blocks to train on, and the reference blocks, cut once for this object."""
        return self._real

    @cached_property
    def _real(self) -> RealData:
        train, reference = self._split
        return RealData(self._blocks("train", train, self.train), self._blocks("reference", reference, self.reference))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        texts = self._split[0] if self.tokenizer == "bpe" else ()
        return tokenizer(self.tokenizer, self.vocabulary, texts, self.cache)

    @cached_property
    def _split(self) -> tuple[list[str], list[str]]:
        """The documents to train on, and those for reference, each in the order of the hash."""
        found = self.documents()
        train, reference = self._ordered(found.train), self._ordered(found.reference)
        if self.reference_fraction is None and not reference:
            raise UserError(
                f"{type(self).__name__} has no official test documents: give reference_fraction, for example 0.2"
            )
        if self.reference_fraction is None:
            return train, reference
        kept = round(self.reference_fraction * len(train))
        if not 0 < kept < len(train):
            raise UserError(
                f"reference_fraction={self.reference_fraction} of {len(train)} documents leaves {len(train) - kept} to "
                f"train on and {kept} for reference, and both must have some: change the fraction or add documents"
            )
        return train[kept:], train[:kept]

    def _ordered(self, texts: Sequence[str]) -> list[str]:
        distinct = dict.fromkeys(text for text in texts if text.strip())
        return sorted(distinct, key=lambda text: hashlib.sha256(f"{self.split_seed}\x1f{text}".encode()).digest())

    def _blocks(self, split: str, texts: Sequence[str], wanted: int | None) -> Samples:
        """The first `wanted` blocks (all if None): (n, block) int64."""
        import torch

        runs, found = [], 0
        for ids in self._tokenizer.encode(texts):
            runs += [ids, np.array([self._tokenizer.end], np.int64)]
            found += len(ids) + 1
            if wanted is not None and found >= wanted * self.block:
                break
        n = found // self.block
        if not n:
            raise UserError(
                f"the {split} documents hold {found} tokens, which is shorter than a block of {self.block}: lower "
                "dataset.block, or take a larger corpus"
            )
        if wanted is not None and n < wanted:
            raise UserError(
                f"dataset.{split}={wanted} asks for more blocks than the {split} documents give, which is {n}: lower "
                "it, or set it to null for all"
            )
        n = wanted or n
        rows = np.concatenate(runs)[: n * self.block].reshape(n, self.block)
        return Samples(torch.from_numpy(np.ascontiguousarray(rows)), np.full(n, -1, np.int64))


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The text of a file. Raises UserError where it cannot be read."""
    try:
        return path.read_text(encoding=encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the text {path} cannot be read ({error}): mend the path, or save it as UTF-8") from error
