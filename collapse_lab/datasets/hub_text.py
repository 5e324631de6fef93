"""Texts of the Hugging Face hub, and those saved in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.hub import check_source, listing, open_splits


@dataclass(kw_only=True, eq=False)
class HubText(Corpus):
    """Texts of a data set by its name on the hub, or by a folder that `save_to_disk` or the user wrote.

    A document is a row. Needs the extra `hub`. Licence: the data set's own, to be read on its card.

    name: "owner/name", or a folder.
    revision: a commit, tag or branch; needed for a name on the hub, as only a commit keeps the rows the same.
    subset: the configuration, where the data set has several.
    split, reference_split: the documents to train on and the official test documents, None where there are none.
    column: where the text is.
    """

    name: str
    revision: str | None = None
    subset: str | None = None
    split: str = "train"
    reference_split: str | None = None
    column: str = "text"

    # a moved folder is the same data: `contents` lists what it holds
    places: ClassVar[frozenset[str]] = frozenset({"cache", "name"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_source(self.name, self.revision, self.reference_split, self.reference_fraction)

    def contents(self) -> Mapping[str, Any]:
        """The name on the hub, or the names, sizes and times of the files in the folder."""
        return listing(self.name)

    def documents(self) -> Documents:
        """The rows of `split`, and those of `reference_split`."""
        names = [self.split, *([self.reference_split] if self.reference_split else [])]
        parts = open_splits(self.name, self.subset, self.revision, self.cache, names, [self.column])
        return Documents(*(self.read(list(part[self.column])) for part in parts))

    def read(self, rows: Sequence[str]) -> Sequence[str]:
        """The documents of the rows of a split."""
        return rows
