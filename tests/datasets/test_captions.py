import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.datasets.captions import (
    captions_of,
    check_templates,
    fill,
    hashed,
    vocabulary_of,
    with_article,
)
from collapse_lab.errors import UserError

TEMPLATES = ["a photo of {a}", "{}, seen from afar"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("airplane", "an airplane"),
        ("ship", "a ship"),
        ("one", "a one"),
        ("eight", "an eight"),
        ("dress", "a dress"),
        ("trousers", "trousers"),
        ("glass of milk", "a glass of milk"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
    ],
)
def test_words_get_the_right_article(word: str, sentence: str) -> None:
    assert with_article(word) == sentence
    assert fill("this is {a}", word) == f"this is {sentence}"


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_the_caption_of_each_row_has_the_word_of_its_label(labels: list[int]) -> None:
    words = ("cat", "dog", "bird")
    captions = captions_of(np.array(labels), TEMPLATES, words)
    assert captions.table == vocabulary_of(TEMPLATES, words)
    for label, text in zip(labels, captions.texts(), strict=True):
        assert text in {fill(t, words[label]) for t in TEMPLATES}


def test_a_caption_depends_on_the_row_number_only() -> None:
    labels = np.zeros(50, np.int64)
    longer = captions_of(labels, TEMPLATES, ("cat",)).texts()
    assert captions_of(labels[:20], TEMPLATES, ("cat",)).texts() == longer[:20]
    assert set(longer) == set(vocabulary_of(TEMPLATES, ("cat",)))


def test_the_hash_is_that_of_splitmix64_and_spreads_rows_evenly() -> None:
    # splitmix64 from state 0: its published first output
    assert int(hashed(np.array([0]))[0]) == 0xE220A8397B1DCDAF
    assert np.bincount((hashed(np.arange(4000)) % np.uint64(4)).astype(int)).min() > 900


def test_bad_templates_are_refused_and_no_templates_give_no_captions() -> None:
    with pytest.raises(UserError, match="must hold"):
        check_templates(["a picture"])
    with pytest.raises(UserError, match="differ"):
        check_templates(["a {}", "a {}"])
    assert captions_of(np.zeros(3, np.int64), [], ("cat",)).table == ()
