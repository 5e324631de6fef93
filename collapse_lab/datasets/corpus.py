"""Base class of all text data sets: the split by documents, the tokens, the blocks and the key."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version as release
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from collapse_lab.datasets.split import check_fractions
from collapse_lab.errors import UserError
from collapse_lab.texts.checkpoints import identity
from collapse_lab.texts.tokenizer import LEAST, Tokenizer, need_of_tokenizer, tokenizer
from collapse_lab.types import Count, Need, RealData, Samples, Spec, Whole


@dataclass(frozen=True)
class Documents:
    """Hold the documents of a corpus.

    Attributes:
        train: all documents, or the official training documents.
        reference: the official test documents; () where the corpus has none.
        validation: the official validation documents; () where the corpus has none.
    """

    train: Sequence[str]
    reference: Sequence[str] = ()
    validation: Sequence[str] = ()


@dataclass(kw_only=True, eq=False)
class Corpus(ABC):
    """Cut texts into blocks of tokens.

    The documents are joined one after another, with the end-of-text token after each, and cut every `block` tokens.
    Tokens after the last cut are dropped. Documents that occur more than once are taken once. A hash gives their order,
    so that the first blocks are a fair sample.

    Args:
        tokenizer: `bpe`, a byte-level BPE that is learnt from the training documents; or the tokenizer of a language
            model: a folder, `stories15m`, `smollm2_135m` or a name on the hub.
        vocabulary: number of entries of `bpe`, 257 or more; it has no effect on other tokenizers.
        block: tokens of a row, 2 or more.
        train: number of training blocks, 1 or more: the first ones, so fewer blocks are a subset of more blocks. None
            takes all.
        reference: number of reference blocks, 1 or more, chosen in the same way. None takes all.
        reference_fraction: share of the documents that is kept for reference, in (0, 1); no training block has tokens
            of them. None takes the official test documents.
        validation: number of validation blocks, 1 or more, chosen in the same way. None takes all.
        validation_fraction: share of the training documents, in (0, 1), that is kept for a fit to choose its weights
            on (`model.selection=best`). They are the last training documents, so under a given tokenizer the first
            training blocks stay the same. None takes the official validation documents where the data set names them,
            else none.
        split_seed: seed of the split and of the order. It is not the seed of a run, because all runs have to compare
            with the same rows.
        cache: folder where tokenizers and fetched files are kept.

    Raises:
        UserError: when vocabulary, block or a fraction is out of its range.
    """

    tokenizer: str = "bpe"
    vocabulary: Annotated[int, Ge(LEAST), Le(1_000_000)] = 2048
    block: Annotated[int, Ge(2), Le(1_000_000)] = 64
    train: Count | None = None
    reference: Count | None = None
    reference_fraction: float | None = 0.2
    split_seed: Whole = 0
    cache: str = "~/.cache/collapse_lab"
    validation: Count | None = None
    validation_fraction: float | None = None

    version: ClassVar[int] = 1
    # These arguments say where the files lie, not what the files contain, so `key` leaves them out
    location_arguments: ClassVar[frozenset[str]] = frozenset({"root", "cache"})
    # The key leaves these arguments out where they are None, because data sets without validation had keys before them
    validation_arguments: ClassVar[tuple[str, ...]] = ("validation", "validation_fraction", "validation_split")

    def __post_init__(self) -> None:
        for name, least in (("vocabulary", LEAST), ("block", 2)):
            number = getattr(self, name)
            if number < least:
                raise UserError(f"dataset.{name} is {least} or more; got {number}")
        check_fractions({"reference": self.reference_fraction, "validation": self.validation_fraction}, "document")

    @abstractmethod
    def contents(self) -> Mapping[str, Any]:
        """Return checksums or listings that identify the files."""

    @abstractmethod
    def documents(self) -> Documents:
        """Return the documents, as the corpus publishes them."""

    @cached_property
    def key(self) -> str:
        """Return 16 hex digits that change whenever a row or the split changes."""
        arguments = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.location_arguments}
        arguments = {k: v for k, v in arguments.items() if v is not None or k not in self.validation_arguments}
        if arguments.pop("tokenizer") == "bpe":
            # Releases of the package differ in the order of merges of equal counts, so the release belongs to the key
            arguments["tokenizer"] = {"bpe": release("tokenizers")}
        else:
            arguments["tokenizer"] = identity(self.tokenizer)
            del arguments["vocabulary"]
        text = json.dumps([type(self).__name__, self.version, arguments, self.contents()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def spec(self) -> Spec:
        """Return the length of a block and the meaning of its tokens."""
        return Spec("tokens", (self.block,), tokens=self._tokenizer.tokens)

    def load(self) -> RealData:
        """Return training, reference and, where asked for, validation blocks; this object cuts them once."""
        return self._real

    def prefetch(self) -> list[Need]:
        """Return the language model whose tokenizer is taken; none for a tokenizer that is learnt here."""
        return [] if self.tokenizer == "bpe" else [need_of_tokenizer(self.tokenizer, self.cache)]

    @cached_property
    def _real(self) -> RealData:
        return self._cut(self._split)

    def _cut(self, split: Documents) -> RealData:
        """Return the blocks of split documents."""
        blocks = (
            self._blocks("train", split.train, self.train),
            self._blocks("reference", split.reference, self.reference),
        )
        if self.validation is not None and not split.validation:
            raise UserError(
                f"dataset.validation={self.validation} asks for validation blocks, and no documents are kept for them: "
                "give dataset.validation_fraction, for example 0.1"
            )
        return RealData(
            *blocks, self._blocks("validation", split.validation, self.validation) if split.validation else None
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        texts = self._split.train if self.tokenizer == "bpe" else ()
        return tokenizer(self.tokenizer, self.vocabulary, texts, self.cache)

    @cached_property
    def _split(self) -> Documents:
        return self._split_of(self.documents())

    def _split_of(self, documents: Documents) -> Documents:
        """Return the documents of each part, all in the order of the hash."""
        train, reference = self._ordered(documents.train), self._ordered(documents.reference)
        if self.reference_fraction is None and not reference:
            raise UserError(
                f"{type(self).__name__} has no official test documents: give reference_fraction, for example 0.2"
            )
        if self.reference_fraction is not None:
            kept = self._kept("reference", self.reference_fraction, len(train))
            train, reference = train[kept:], train[:kept]
        validation = self._ordered(documents.validation)
        if self.validation_fraction is not None:
            kept = self._kept("validation", self.validation_fraction, len(train))
            train, validation = train[:-kept], train[-kept:]
        return Documents(train, reference, validation)

    def _kept(self, part: str, fraction: float, n: int) -> int:
        """Return how many of n documents a fraction keeps: some, and not all."""
        kept = round(fraction * n)
        if not 0 < kept < n:
            raise UserError(
                f"{part}_fraction={fraction} of {n} documents leaves {n - kept} to train on and {kept} for {part}, and "
                f"both must have some: {self._mend()}"
            )
        return kept

    def _mend(self) -> str:
        """Return what to do where there are too few documents."""
        return "change the fraction or add documents"

    def _ordered(self, texts: Sequence[str]) -> list[str]:
        distinct = dict.fromkeys(text for text in texts if text.strip())
        return sorted(distinct, key=lambda text: hashlib.sha256(f"{self.split_seed}\x1f{text}".encode()).digest())

    def _blocks(self, split: str, texts: Sequence[str], wanted: int | None) -> Samples:
        """Return the first `wanted` blocks, (n, block) int64; None returns all blocks."""
        import torch

        pieces, total = [], 0
        for ids in self._tokenizer.encode(texts):
            pieces += [ids, np.array([self._tokenizer.end], np.int64)]
            total += len(ids) + 1
            if wanted is not None and total >= wanted * self.block:
                break
        n = total // self.block
        if not n:
            raise UserError(
                f"the {split} documents hold {total} tokens, which is shorter than a block of {self.block}: lower "
                "dataset.block, or choose a larger corpus"
            )
        if wanted is not None and n < wanted:
            raise UserError(
                f"dataset.{split}={wanted} asks for more blocks than the {split} documents give, which is {n}: lower "
                "it, or set it to null for all"
            )
        n = wanted or n
        rows = np.concatenate(pieces)[: n * self.block].reshape(n, self.block)
        return Samples(torch.from_numpy(np.ascontiguousarray(rows)), np.full(n, -1, np.int64))


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Return the text of a file.

    Raises:
        UserError: when the file is missing, has another encoding, or holds a NUL.
    """
    try:
        text = path.read_text(encoding=encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the text {path} cannot be read ({error}): correct the path, or save it as UTF-8") from error
    return without_nul(text, f"the text {path}")


def without_nul(text: str, name: str) -> str:
    """Return a text, which no NUL may interrupt: a file with NULs is binary, or in UTF-16.

    Args:
        text: the text.
        name: what the text is called in the message.

    Raises:
        UserError: when the text holds the character U+0000.
    """
    place = text.find("\0")
    if place >= 0:
        raise UserError(
            f"{name} has a NUL as its character {place + 1}, as binary files and files in UTF-16 have: remove it, or "
            "save the text as UTF-8"
        )
    return text
