"""Captions that are made of templates and of the words of the classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.types import Captions

WORD = "{}"  # becomes the word of the class
NOUN = "{a}"  # becomes the word with its article: "an airplane"

_SOUNDS_LIKE_A_CONSONANT = re.compile(r"(one\b|once\b|uni|use|eu|ewe)", re.IGNORECASE)


def with_article(word: str) -> str:
    """Return `word` after "a" or "an"; a plural such as "trousers" gets no article.

    The rule knows English spelling only: a word that ends in a single s counts as a plural.
    """
    if re.search(r"[^s]s$", word.split(" of ")[0]):
        return word
    vowel = word[:1].lower() in "aeiou" and not _SOUNDS_LIKE_A_CONSONANT.match(word)
    return f"{'an' if vowel else 'a'} {word}"


def fill(template: str, word: str) -> str:
    """Return the template with `{}` replaced by the word and `{a}` by the word with its article."""
    return template.replace(NOUN, with_article(word)).replace(WORD, word)


def check_templates(templates: Sequence[str]) -> None:
    """Check caption templates.

    Raises:
        UserError: when a template is given twice, or has no place for the word and so would give every class the same
            caption.
    """
    for template in templates:
        if WORD not in template and NOUN not in template:
            raise UserError(
                f"a caption template must hold {WORD} (the word) or {NOUN} (the word with its article), "
                f"got '{template}': write for example 'a drawing of {NOUN}'"
            )
    if len(set(templates)) != len(templates):
        raise UserError(f"caption templates must differ, got {list(templates)}: remove the repeated ones")


def vocabulary_of(templates: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return every caption that the templates can make of the words, distinct and sorted."""
    return tuple(sorted({fill(template, word) for template in templates for word in words}))


def hashed(rows: np.ndarray) -> np.ndarray:
    """Return a fixed 64-bit hash (n,) uint64 of row numbers (n,), the same on every platform.

    The hash is the finaliser of splitmix64, so neighbouring rows get unrelated values.
    """
    z = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def picks(n: int, templates: int) -> np.ndarray:
    """Return the number of the template of each of the rows 0..n-1.

    Args:
        n: number of rows.
        templates: number of templates, 1 or more.

    Returns:
        (n,) int64 in [0, templates).
    """
    return (hashed(np.arange(n)) % np.uint64(templates)).astype(np.int64)


def captions_of(labels: np.ndarray, templates: Sequence[str], words: Sequence[str]) -> Captions:
    """Return the captions of rows 0..n-1: a hash of the row number chooses the template of the row.

    The caption of a row depends on its number in the whole data set and on no random draw, so the caption is the same
    under every seed, split and limit.

    Args:
        labels: (n,) int64 in [0, len(words)).
        templates: sentences with `{}` or `{a}`.
        words: the word of each label.

    Returns:
        n captions; an empty table without templates or without words.
    """
    if not templates or not words:
        return Captions()
    table = vocabulary_of(templates, words)
    index = {text: i for i, text in enumerate(table)}
    grid = np.array([[index[fill(template, word)] for word in words] for template in templates], np.int64)
    return Captions(table, grid[picks(len(labels), len(templates)), labels])
