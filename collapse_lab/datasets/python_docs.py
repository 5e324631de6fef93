"""The language reference of Python, which every Python carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collapse_lab.datasets.corpus import Corpus, Documents


@dataclass(kw_only=True, eq=False)
class PythonDocs(Corpus):
    """About 80 chapters of The Python Language Reference, 65,000 words; a document is a chapter. Nothing is downloaded.

    They are what `help()` shows, in the standard library's `pydoc_data.topics` (PSF licence); its text is that of the
    Python that runs, so rows differ between its releases. There are no official test documents.
    """

    def contents(self) -> Mapping[str, Any]:
        """SHA-256 of the texts."""
        return {"topics": hashlib.sha256("\0".join(self.documents().train).encode()).hexdigest()}

    def documents(self) -> Documents:
        """The chapters, by name."""
        from pydoc_data.topics import topics

        return Documents([text for _, text in sorted(topics.items())])
