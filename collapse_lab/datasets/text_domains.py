"""Text data set of several corpora, whose rows are labelled by their corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.errors import UserError
from collapse_lab.types import Need, RealData, Samples, Spec


@dataclass(kw_only=True, eq=False)
class TextDomains(Corpus):
    """Read several corpora as one data set: they share a tokenizer, and the label of a block is its corpus.

    Each corpus is split by itself, so each has training and reference blocks. `bpe` is learnt from the training
    documents of all corpora together. A block never holds tokens of two corpora. The licences are those of the corpora.

    Args:
        corpora: name of the domain -> the corpus; two or more, so that None is refused. A corpus gives its documents
            alone: the tokenizer, the blocks and the split are those of this data set.
        train: number of training blocks of each domain; None takes all.
        reference: number of reference blocks of each domain; None takes all.
        validation: number of validation blocks of each domain; None takes all.

    The other arguments are those of `Corpus`.

    Raises:
        UserError: when there is one corpus or none, or a corpus is given an argument that has no effect here.
    """

    corpora: Mapping[str, Corpus] | None = None

    # `contents` has the keys of the corpora
    location_arguments: ClassVar[frozenset[str]] = Corpus.location_arguments | {"corpora"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self._parts) < 2:
            raise UserError(
                f"dataset.corpora takes two data sets of texts or more, by the name of their domain; got "
                f"{list(self._parts)}: give '+dataset.corpora.NAME={{_target_: …}}', or take +experiment=interacting_lm"
            )
        for name, corpus in self._parts.items():
            for field in fields(Corpus):
                if field.name == "cache" or field.default is MISSING or getattr(corpus, field.name) == field.default:
                    continue
                raise UserError(
                    f"dataset.corpora.{name}.{field.name} has no effect, because all domains share one: give "
                    f"dataset.{field.name}"
                )

    @cached_property
    def spec(self) -> Spec:
        """Return the length of a block, the meaning of its tokens, and the names of the domains."""
        return Spec("tokens", (self.block,), tuple(self._parts), tokens=self._tokenizer.tokens)

    def contents(self) -> Mapping[str, Any]:
        """Return the key of each corpus, in their order."""
        return {name: corpus.key for name, corpus in self._parts.items()}

    def documents(self) -> Documents:
        """Return the documents of all corpora, one corpus after another."""
        return _joined({name: corpus.documents() for name, corpus in self._parts.items()})

    def prefetch(self) -> list[Need]:
        """Return what the corpora take from elsewhere, and the language model whose tokenizer is taken."""
        needs = super().prefetch()
        for corpus in self._parts.values():
            needs += corpus.prefetch()
        return needs

    @property
    def _parts(self) -> Mapping[str, Corpus]:
        return self.corpora or {}

    @cached_property
    def _real(self) -> RealData:
        parts = []
        for label, (name, split) in enumerate(self._splits.items()):
            try:
                parts.append(self._cut(split).map(partial(_labelled, label)))
            except UserError as error:
                raise UserError(f"domain '{name}': {error}") from error
        validation = [part.validation for part in parts if part.validation is not None]
        return RealData(
            _concatenated([part.train for part in parts]),
            _concatenated([part.reference for part in parts]),
            _concatenated(validation) if validation else None,
        )

    @cached_property
    def _split(self) -> Documents:
        return _joined(self._splits)

    @cached_property
    def _splits(self) -> dict[str, Documents]:
        splits = {}
        for name, corpus in self._parts.items():
            try:
                splits[name] = self._split_of(corpus.documents())
            except UserError as error:
                raise UserError(f"domain '{name}': {error}") from error
        return splits


def _joined(parts: Mapping[str, Documents]) -> Documents:
    train, reference, validation = (
        [text for part in parts.values() for text in getattr(part, split)]
        for split in ("train", "reference", "validation")
    )
    return Documents(train, reference, validation)


def _labelled(label: int, rows: Samples) -> Samples:
    return Samples(rows.data, np.full(len(rows), label, np.int64))


def _concatenated(parts: list[Samples]) -> Samples:
    import torch

    return Samples(torch.cat([part.data for part in parts]), np.concatenate([part.labels for part in parts]))
