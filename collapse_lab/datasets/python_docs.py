"""The Python Language Reference, a text data set that comes with every Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collapse_lab.datasets.corpus import Corpus, Documents


@dataclass(kw_only=True, eq=False)
class PythonDocs(Corpus):
    """Read about 80 chapters of The Python Language Reference, 65,000 words; a document is a chapter.

    The chapters are what `help()` shows. They are in the standard library's `pydoc_data.topics` (PSF licence), so
    nothing is downloaded. The text belongs to the running Python, so rows differ between releases of Python. There are
    no official test documents. The arguments are those of `Corpus`.
    """

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the texts."""
        return {"topics": hashlib.sha256("\0".join(self.documents().train).encode()).hexdigest()}

    def documents(self) -> Documents:
        """Return the chapters, sorted by name."""
        from pydoc_data.topics import topics

        return Documents([text for _, text in sorted(topics.items())])
