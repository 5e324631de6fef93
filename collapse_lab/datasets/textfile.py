"""Texts of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents, read_text
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.storage.files import checksum


@dataclass(kw_only=True, eq=False)
class TextFile(Corpus):
    """Documents in UTF-8. Licence: the texts' own. There are no official test documents.

    path: a .txt file, whose documents are apart by blank lines; a .jsonl file with a document a line; or a folder,
        whose .txt files, below it too, are a document each.
    field: where a line of a .jsonl file has its text.
    """

    path: str
    field: str = "text"

    # a moved file is the same data: `contents` has its checksum
    places: ClassVar[frozenset[str]] = frozenset({"cache", "path"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._files

    def contents(self) -> Mapping[str, Any]:
        """SHA-256 of every file."""
        return {name: checksum(path) for name, path in self._files.items()}

    def documents(self) -> Documents:
        """The documents in the order of the file, or of the files' names."""
        if Path(self.path).expanduser().is_dir():
            return Documents([read_text(path) for path in self._files.values()])
        (path,) = self._files.values()
        text = read_text(path)
        if path.suffix == ".jsonl":
            return Documents([self._text_of(line, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()])
        paragraphs = "\n".join(line if line.strip() else "" for line in text.splitlines()).split("\n\n")
        return Documents([paragraph.strip("\n") for paragraph in paragraphs])

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Name -> path: a file goes by its ending alone, as its name says nothing of the text."""
        given = Path(self.path).expanduser()
        if given.is_file() and given.suffix in (".txt", ".jsonl"):
            return {given.suffix: given}
        found = {path.relative_to(given).as_posix(): path for path in sorted(given.rglob("*.txt"))}
        if not found:
            raise UserError(
                f"dataset.path={self.path} should be a .txt or .jsonl file, or a folder with .txt files: mend the path"
            )
        return found

    def _text_of(self, line: str, number: int) -> str:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"line {number} of {self.path} is not JSON ({error}): mend or delete it") from error
        if not isinstance(row, dict):
            raise UserError(f"line {number} of {self.path} should be an object with a '{self.field}': mend it")
        text = row.get(self.field)
        if not isinstance(text, str):
            raise UserError(
                f"line {number} of {self.path} has no text in '{self.field}': {did_you_mean(self.field, row)}; "
                "dataset.field names it"
            )
        return text
