"""Texts of the user, read from a file or a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents, read_text, without_nul
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.storage.files import checksum


@dataclass(kw_only=True, eq=False)
class TextFile(Corpus):
    """Read documents in UTF-8 from the user's own files.

    The licence is that of the texts. There are no official test documents.

    Args:
        path: a .txt file whose documents are separated by blank lines; a .jsonl file with one document per line; or a
            folder, where every .txt file, also in subfolders, is one document.
        field: name of the text's field in a line of a .jsonl file.

    The other arguments are those of `Corpus`.

    Raises:
        UserError: when path is none of these, or another argument is out of its range.
    """

    path: str
    field: str = "text"

    # A file that was moved is the same data, so `path` is left out here; `contents` has the checksums
    location_arguments: ClassVar[frozenset[str]] = frozenset({"cache", "path"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._files  # to refuse a wrong path at once

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of every file."""
        return {name: checksum(path) for name, path in self._files.items()}

    def documents(self) -> Documents:
        """Return the documents in the order of the file, or of the file names."""
        if Path(self.path).expanduser().is_dir():
            return Documents([read_text(path) for path in self._files.values()])
        (path,) = self._files.values()
        text = read_text(path)
        if path.suffix == ".jsonl":
            return Documents([self._text_of(line, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()])
        paragraphs = "\n".join(line if line.strip() else "" for line in text.splitlines()).split("\n\n")
        return Documents([paragraph.strip("\n") for paragraph in paragraphs])

    def _mend(self) -> str:
        is_text = Path(self.path).expanduser().is_file() and ".txt" in self._files
        if is_text and len(self._ordered(self.documents().train)) == 1:
            return f"documents are separated by blank lines, and {self.path} has none: put them in"
        return super()._mend()

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Return name -> path; a single file is named by its suffix alone, so that renaming it changes no key."""
        source = Path(self.path).expanduser()
        if source.is_file() and source.suffix in (".txt", ".jsonl"):
            return {source.suffix: source}
        files = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*.txt"))}
        if not files:
            raise UserError(
                f"dataset.path={self.path} should be a .txt or .jsonl file, or a folder with .txt files: correct the "
                "path"
            )
        return files

    def _text_of(self, line: str, number: int) -> str:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"line {number} of {self.path} is not JSON ({error}): correct or delete it") from error
        if not isinstance(row, dict):
            raise UserError(f"line {number} of {self.path} should be an object with a '{self.field}': correct it")
        text = row.get(self.field)
        if not isinstance(text, str):
            raise UserError(
                f"line {number} of {self.path} has no text in '{self.field}': {did_you_mean(self.field, row)}; "
                "dataset.field names the field"
            )
        return without_nul(text, f"line {number} of {self.path}")
