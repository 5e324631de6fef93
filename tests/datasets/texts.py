"""What tests of several sets of texts ask for."""

from collapse_lab.datasets.corpus import Corpus
from collapse_lab.types import Samples


def text_of(samples: Samples, data: Corpus) -> str:
    """All the rows as one text."""
    assert data.spec.tokens is not None
    (text,) = data.spec.tokens.decode(samples.data.reshape(1, -1))
    return text
