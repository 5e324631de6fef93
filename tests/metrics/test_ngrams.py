"""Compare n-grams, self-BLEU and vocabulary with Python's sets and counters, SciPy and torchmetrics."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import entropy
from torchmetrics.functional.text import bleu_score

from collapse_lab.errors import UserError
from collapse_lab.metrics.ngrams import distinct, ngrams, repetition, unique_to_sample
from collapse_lab.metrics.self_bleu import mean_self_bleu, self_bleu
from collapse_lab.metrics.vocabulary import rare_tokens, recall, unigram_entropy


def draw(n: int, length: int, kinds: int, seed: int = 0) -> np.ndarray:
    weights = 1 / np.arange(1, kinds + 1)
    return np.random.default_rng(seed).choice(kinds, (n, length), p=weights / weights.sum())


def tuples(row: np.ndarray, order: int) -> list[tuple[int, ...]]:
    return [tuple(row[i : i + order].tolist()) for i in range(len(row) - order + 1)]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equal_n_grams_have_equal_numbers(order: int) -> None:
    tokens = draw(30, 9, 5)
    numbered, expected = ngrams(tokens, order), [tuples(row, order) for row in tokens]
    pairs = {
        (int(number), gram)
        for numbers, grams in zip(numbered, expected, strict=True)
        for number, gram in zip(numbers, grams, strict=True)
    }
    kinds = {gram for grams in expected for gram in grams}
    assert len(pairs) == len(kinds) == numbered.max() + 1
    assert {number for number, _ in pairs} == set(range(len(kinds)))
    assert distinct(numbered) == len(kinds) / (30 * (10 - order))


def test_large_token_ids_give_the_same_numbers() -> None:
    tokens = draw(20, 12, 6)
    largest = np.iinfo(np.int64).max - 5
    for order in (1, 2, 3, 4):
        assert np.array_equal(ngrams(tokens + largest, order), ngrams(tokens, order))


@pytest.mark.parametrize("order", [1, 3])
def test_unique_n_grams_are_those_lost_without_the_sample(order: int) -> None:
    grams = ngrams(draw(12, 10, 60), order)
    added = unique_to_sample(grams).sum(1)
    kinds = len(np.unique(grams))
    for i in range(12):
        assert added[i] == kinds - len(np.unique(np.delete(grams, i, axis=0)))
    assert added.any()


def test_repetition_counts_n_grams_that_occurred_before() -> None:
    tokens = draw(15, 20, 3)
    shares = repetition(ngrams(tokens, 2))
    for row, share in zip(tokens, shares, strict=True):
        assert share == pytest.approx(1 - len(set(tuples(row, 2))) / 19)
    assert repetition(np.zeros((2, 5), np.int64)).tolist() == [0.8, 0.8]


def test_entropy_agrees_with_scipy() -> None:
    def expected(tokens: np.ndarray) -> float:
        return float(entropy(list(Counter(tokens.ravel().tolist()).values()), base=2))

    tokens = draw(40, 8, 12)
    bits, without = unigram_entropy(tokens)
    assert bits == pytest.approx(expected(tokens))
    assert without == pytest.approx([expected(np.delete(tokens, i, axis=0)) for i in range(40)])
    assert unigram_entropy(np.zeros((1, 4), np.int64))[0] == 0


def test_the_bias_of_entropy_is_as_documented() -> None:
    weights = 1 / np.arange(1, 51)
    exact = entropy(weights / weights.sum(), base=2)
    bits = [unigram_entropy(draw(20, 50, 50, seed))[0] for seed in range(200)]
    assert exact - np.mean(bits) == pytest.approx(49 / (2 * 1000 * np.log(2)), abs=4 * np.std(bits) / 200**0.5)


def test_rare_tokens_are_single_or_up_to_a_share() -> None:
    tokens = np.repeat(np.arange(4), (1, 2, 3, 94))[None]
    assert rare_tokens(tokens, 0.02).tolist() == [0, 1]
    assert rare_tokens(tokens, 0.0).tolist() == [0]
    assert rare_tokens(np.zeros((2, 4), np.int64), 1e-3).tolist() == []


def test_token_recall_follows_the_definition() -> None:
    tokens, kinds = draw(10, 6, 40), np.arange(5, 45)
    share, falls = recall(kinds, tokens)
    assert share == len(set(kinds.tolist()) & set(tokens.ravel().tolist())) / 40
    for i in range(10):
        assert falls[i] == pytest.approx(share - recall(kinds, np.delete(tokens, i, axis=0))[0])


def test_self_bleu_agrees_with_torchmetrics() -> None:
    tokens = draw(25, 14, 3)
    texts = [" ".join(map(str, row)) for row in tokens.tolist()]
    expected = [float(bleu_score([text], [texts[:i] + texts[i + 1 :]])) for i, text in enumerate(texts)]
    assert min(expected) > 0  # because torchmetrics gives 0 where an order has no match
    np.testing.assert_allclose(self_bleu(tokens), expected, atol=1e-6)


def test_self_bleu_of_small_examples_is_as_computed_by_hand() -> None:
    copies = np.tile(np.arange(6), (3, 1))
    assert self_bleu(copies).tolist() == [1.0, 1.0, 1.0]
    assert self_bleu(np.arange(12).reshape(2, 6)).tolist() == [0.0, 0.0]
    # 3 of 4 single tokens, 2 of 3 pairs, 1 of 2 triples, and no four, which counts as 0.1 of 1
    pair = np.asarray([[0, 1, 2, 3], [0, 1, 2, 9]])
    assert self_bleu(pair) == pytest.approx([(3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25] * 2)
    # A token counts as often as one other sample has it, and no more
    often = np.asarray([[7, 7, 7, 7], [7, 7, 1, 2], [7, 3, 4, 5]])
    assert self_bleu(often)[0] == pytest.approx((2 / 4 * 1 / 3 * 0.1 / 2 * 0.1) ** 0.25)


def test_the_mean_of_self_bleu_and_its_interval() -> None:
    tokens = draw(50, 12, 6)
    estimate = mean_self_bleu(tokens)
    assert estimate.value == pytest.approx(self_bleu(tokens).mean())
    assert estimate.lo is not None
    assert estimate.hi is not None
    assert 0 < estimate.lo < estimate.value < estimate.hi < 1
    assert mean_self_bleu(tokens[:2]).lo is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="4-grams need one sample or more of 4 tokens or more; got 2 of 3"):
        ngrams(np.zeros((2, 3), np.int64), 4)
    with pytest.raises(UserError, match="got 0 of 5"):
        ngrams(np.zeros((0, 5), np.int64), 1)
    with pytest.raises(UserError, match="takes 2 or more; got 1"):
        self_bleu(np.zeros((1, 5), np.int64))
