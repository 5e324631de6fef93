from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.nn.text import PAD, START, UNKNOWN, TextEncoder, WordTokenizer

CAPTIONS = ["A red car", "a blue, old bird", "Car!"]
# Words are numbered after the three special tokens, in alphabetical order
WORDS = {word: 3 + i for i, word in enumerate(["!", ",", "a", "bird", "blue", "car", "old", "red"])}


def test_words_are_numbered_in_alphabetical_order_after_the_special_tokens() -> None:
    tokenize = WordTokenizer(CAPTIONS)
    assert [PAD, UNKNOWN, START] == ["[PAD]", "[UNK]", "[START]"]
    assert (tokenize.size, tokenize.length) == (3 + len(WORDS), 1 + 5)
    w = WORDS
    assert tokenize(CAPTIONS).tolist() == [
        [2, w["a"], w["red"], w["car"], 0, 0],
        [2, w["a"], w["blue"], w[","], w["old"], w["bird"]],
        [2, w["car"], w["!"], 0, 0, 0],
    ]


def test_the_numbers_do_not_depend_on_the_order_of_the_captions() -> None:
    assert torch.equal(WordTokenizer(CAPTIONS)(CAPTIONS), WordTokenizer(CAPTIONS[::-1] * 2)(CAPTIONS))


def test_the_empty_prompt_is_a_sequence_too() -> None:
    assert WordTokenizer(CAPTIONS)(["", "  "]).tolist() == [[2, 0, 0, 0, 0, 0]] * 2
    empty = WordTokenizer([])
    assert (empty.size, empty.length, empty(["", "red"]).tolist()) == (3, 1, [[2], [2]])


def test_words_and_marks_are_counted_with_the_start() -> None:
    words = WordTokenizer(["a handwritten two"])
    assert [words.count(text) for text in ("", "two", "an unheard-of, TWO")] == [1, 2, 7]
    assert words.count("a handwritten two") == words.length


def test_unknown_words_are_marked_and_long_prompts_are_cut() -> None:
    tokenize = WordTokenizer(CAPTIONS)
    assert tokenize(["a green CAR"]).tolist() == [[2, WORDS["a"], 1, WORDS["car"], 0, 0]]
    assert tokenize(["a a a a a a a a a"]).tolist() == [[2, *[WORDS["a"]] * 5]]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.text(max_size=30))
def test_any_text_has_its_tokens_in_range(captions: list[str], prompt: str) -> None:
    tokenize = WordTokenizer(captions)
    tokens = tokenize([*captions, prompt])
    assert tokens.shape == (len(captions) + 1, tokenize.length)
    assert (tokens[:, 0] == 2).all()
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < tokenize.size
    # The words of the captions are the vocabulary, so none of them is unknown
    assert not (tokens[:-1] == 1).any()


@pytest.fixture
def encoder() -> TextEncoder:
    """Return an encoder in float64, because float32 depends on the CPU's kernels."""
    torch.manual_seed(0)
    return TextEncoder(vocabulary=11, length=6, width=16, layers=2, heads=4).double()


def test_padding_is_not_attended_to(encoder: TextEncoder) -> None:
    tokens = torch.tensor([[2, 4, 5, 0, 0, 0]])
    before = encoder(tokens)
    with torch.no_grad():
        # Not by a constant, since layer normalisation takes a constant away
        encoder.words.weight[0] += torch.arange(16)
        encoder.positions[3:] += torch.arange(16)
    after = encoder(tokens)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, 3:], before[:, 3:], atol=1e-3)


def test_the_order_of_words_matters(encoder: TextEncoder) -> None:
    one, other = encoder(torch.tensor([[2, 4, 5, 0, 0, 0], [2, 5, 4, 0, 0, 0]]))
    assert not torch.allclose(one.sum(0), other.sum(0), atol=1e-3)


def test_a_prompt_does_not_depend_on_the_others_of_its_batch(encoder: TextEncoder) -> None:
    tokens = torch.tensor([[2, 4, 5, 0, 0, 0], [2, 5, 4, 6, 7, 8], [2, 0, 0, 0, 0, 0]])
    alone = torch.cat([encoder(row[None]) for row in tokens])
    torch.testing.assert_close(encoder(tokens), alone, rtol=0, atol=1e-12)


def test_a_prompt_is_encoded_alike_in_training_and_in_evaluation(encoder: TextEncoder) -> None:
    # In evaluation torch may use a fused implementation of the transformer
    tokens = torch.tensor([[2, 4, 5, 0, 0, 0], [2, 0, 0, 0, 0, 0]])
    trained = encoder.train()(tokens)
    with torch.no_grad():
        sampled = encoder.eval()(tokens)
    torch.testing.assert_close(sampled, trained, rtol=0, atol=1e-12)
