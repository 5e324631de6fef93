"""Helpers of the tests of several text data sets."""

from collapse_lab.datasets.corpus import Corpus
from collapse_lab.types import Samples


def text_of(samples: Samples, data: Corpus) -> str:
    """Return all rows as one text."""
    assert data.spec.tokens is not None
    (text,) = data.spec.tokens.decode(samples.data.reshape(1, -1))
    return text
