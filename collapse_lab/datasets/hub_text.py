"""Text data sets of the Hugging Face hub, and those saved in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents, without_nul
from collapse_lab.datasets.hub import check_source, listing, need_of, open_splits
from collapse_lab.errors import UserError
from collapse_lab.types import Need


@dataclass(kw_only=True, eq=False)
class HubText(Corpus):
    """Read the texts of a data set by its name on the hub, or from a folder; a document is a row.

    The folder is one that `save_to_disk` or the user wrote. This class needs the extra `hub`. The licence is the data
    set's own and stands on its card.

    Args:
        name: "owner/name", or a folder.
        revision: a commit, tag or branch. A name on the hub needs one; only a commit keeps the rows the same.
        subset: the configuration, where the data set has several.
        split: the training documents.
        reference_split: the official test documents, None where there are none.
        validation_split: the official validation documents, None where there are none or none are wanted.
        column: column of the text; or several columns, such as [question, answer], whose texts are joined with line
            breaks to one document.

    The other arguments are those of `Corpus`.

    Raises:
        UserError: when an argument is out of its range, a name on the hub has no revision, or both a split and a
            fraction are given for reference or for validation.
    """

    name: str
    revision: str | None = None
    subset: str | None = None
    split: str = "train"
    reference_split: str | None = None
    validation_split: str | None = None
    column: str | Sequence[str] = "text"

    # A folder that was moved is the same data, so `name` is left out here; `contents` has the name or the file list
    location_arguments: ClassVar[frozenset[str]] = frozenset({"cache", "name"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_source(self.name, self.revision, self.reference_split, self.reference_fraction)
        if self.validation_split is not None and self.validation_fraction is not None:
            raise UserError(
                f"give validation_split={self.validation_split} or validation_fraction={self.validation_fraction}, not "
                "both: set the other to null"
            )

    def prefetch(self) -> list[Need]:
        """Return the data set, and the language model whose tokenizer is taken."""
        return [need_of(self.name, self.subset, self.revision, self.cache, self.documents), *super().prefetch()]

    def contents(self) -> Mapping[str, Any]:
        """Return the name on the hub, or the names, sizes and times of the files in the folder."""
        return listing(self.name)

    def documents(self) -> Documents:
        """Return the rows of `split`, and those of `reference_split` and `validation_split`."""
        parts = {"train": self.split, "reference": self.reference_split, "validation": self.validation_split}
        names = {part: name for part, name in parts.items() if name is not None}
        splits = open_splits(
            self.name, self.subset, self.revision, self.cache, list(names.values()), self.read_columns()
        )
        texts = [self._texts(name, split) for name, split in zip(names.values(), splits, strict=True)]
        return Documents(**{part: self.read(rows) for part, rows in zip(names, texts, strict=True)})

    def read(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the documents of the rows of a split; a subclass may join rows."""
        return rows

    def read_columns(self) -> list[str]:
        """Return the columns that are read; a subclass may read others."""
        columns = [self.column] if isinstance(self.column, str) else list(self.column)
        if not columns:
            raise UserError("column names the column of the text, or several; got none: give column=text")
        return columns

    def chosen(self, rows: int) -> Sequence[int]:
        """Return the numbers of the rows that are read, of a split of some rows; a subclass may leave rows out."""
        return range(rows)

    def text_of(self, cells: Mapping[str, Any], where: str) -> str:
        """Return the text of a row; a subclass may make it in another way.

        Args:
            cells: column -> what the row holds there.
            where: the row in words for messages.

        Raises:
            UserError: a column holds no text, or one with a NUL.
        """
        for column, text in cells.items():
            if not isinstance(text, str):
                raise UserError(f"{where} holds {text!r} in the column {column}, not a text: give another column")
        return without_nul("\n".join(cells.values()), where)

    def _texts(self, name: str, split: Any) -> list[str]:
        numbers = self.chosen(len(split))
        rows = split if len(numbers) == len(split) else split.select(numbers)
        columns = self.read_columns()
        cells = zip(*(rows[column] for column in columns), strict=True)
        return [
            self.text_of(dict(zip(columns, row, strict=True)), f"row {number} of the split {name} of {self.name}")
            for number, row in zip(numbers, cells, strict=True)
        ]
