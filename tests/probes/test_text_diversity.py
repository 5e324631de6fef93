"""Diversity of generated text beside that of real text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.features.text_embedding import TextEmbedding
from collapse_lab.metrics.self_bleu import self_bleu
from collapse_lab.metrics.vendi import Vendi
from collapse_lab.probes.text_diversity import TextDiversity
from collapse_lab.results.names import Name
from collapse_lab.types import Estimate, Samples, Spec, Tokens
from tests.features.tiny_models import write_bert
from tests.probes.texts import samples, subject

NAMES = {
    *(f"distinct_{order}" for order in (1, 2, 3, 4)),
    *("vocabulary", "unigram_entropy", "repetition", "self_bleu", "rare_token_recall"),
}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def write(n: int, seed: int, kinds: int = 300, exponent: float = 1.1, stuck: float = 0.0) -> np.ndarray:
    """Return blocks of 16 tokens by Zipf's law; a share `stuck` of them repeat their first four tokens."""
    draw = np.random.default_rng(seed)
    weights = np.arange(1, kinds + 1) ** -exponent
    tokens = draw.choice(kinds, (n, 16), p=weights / weights.sum())
    again = draw.random(n) < stuck
    tokens[again] = np.tile(tokens[again, :4], 4)
    return tokens


def look(real: np.ndarray, generated: np.ndarray, probe: TextDiversity | None = None) -> dict[str, Estimate]:
    return dict((probe or TextDiversity(rare=1e-3))(subject(real, generated), rng()))


def test_every_number_is_as_defined() -> None:
    real, generated = write(40, 0), write(40, 1)
    diversity = look(real, generated)
    assert set(diversity) == NAMES | {f"{name}_floor" for name in NAMES}
    assert all(Name.of(f"all/{name}").better for name in NAMES)
    for end, tokens in (("", generated), ("_floor", real)):
        for order in (1, 2, 3, 4):
            grams = [tuple(row[i : i + order]) for row in tokens.tolist() for i in range(17 - order)]
            assert diversity[f"distinct_{order}{end}"].value == len(set(grams)) / len(grams)
        counts = np.unique(tokens, return_counts=True)[1]
        assert diversity[f"vocabulary{end}"].value == len(counts)
        p = counts / counts.sum()
        assert diversity[f"unigram_entropy{end}"].value == pytest.approx(-(p * np.log2(p)).sum())
        assert diversity[f"self_bleu{end}"].value == pytest.approx(self_bleu(tokens).mean())


def test_sets_of_different_sizes_are_compared_at_the_smaller_size_and_always_with_the_same_rows() -> None:
    real, generated = write(50, 0), write(400, 1)
    diversity = look(real, generated)
    assert diversity == look(real, generated)
    assert diversity["distinct_2"].value > 1.4 * look(generated, generated)["distinct_2"].value
    same = look(real, real)
    for name in NAMES - {"rare_token_recall"}:
        assert same[name].value == pytest.approx(same[f"{name}_floor"].value), name


def test_self_bleu_is_computed_of_a_limited_number_of_samples() -> None:
    tokens = write(60, 0, kinds=20)
    few, all_of_them = (look(tokens, tokens, TextDiversity(k))["self_bleu"].value for k in (10, 500))
    order = rng()
    order.permutation(60)  # the permutation of the real rows
    assert few == pytest.approx(self_bleu(tokens[order.permutation(60)[:10]]).mean())
    assert all_of_them == pytest.approx(self_bleu(tokens).mean())
    assert few < all_of_them  # because self-BLEU rises with the number of samples


def test_rare_tokens_are_those_of_one_half_of_real_text() -> None:
    real = np.zeros((40, 8), np.int64)
    real[:, 0] = np.arange(40) + 1  # 40 tokens that occur once each
    generated = np.zeros((40, 8), np.int64)
    generated[:, 0] = np.arange(40) % 20 + 1
    diversity = look(real, generated, TextDiversity(rare=0.0))
    draw = rng()
    known = set(real[draw.permutation(40)[:20], 0].tolist())
    generated_tokens = set(generated[draw.permutation(40)[:20], 0].tolist())
    assert diversity["rare_token_recall"].value == len(known & generated_tokens) / 20
    assert diversity["rare_token_recall_floor"].value == 0
    assert not any("rare" in name for name in look(real * 0, generated))


def test_every_number_distinguishes_collapsed_text_from_real_text() -> None:
    real, alike, collapsed = (
        write(150, 0, stuck=0.05),
        write(150, 1, stuck=0.05),
        write(150, 2, exponent=2.0, stuck=0.3),
    )
    diversity, other = look(real, collapsed), look(real, alike)
    for name in NAMES:
        lo, hi, floor = diversity[name].lo, diversity[name].hi, diversity[f"{name}_floor"].value
        assert lo is not None
        assert hi is not None
        worse = lo > floor if name in ("self_bleu", "repetition") else hi < floor
        assert worse, name
        fair, floor = other[name], other[f"{name}_floor"].value
        width = (fair.hi or 0) - (fair.lo or 0)
        assert abs(fair.value - floor) < width, name  # because both of them vary


def test_intervals_contain_the_expectation_at_this_n() -> None:
    """Intervals of counts of distinct tokens and n-grams are too wide rather than too narrow."""
    real, probe = write(80, 10**6), TextDiversity(30, 2e-3)
    diversity: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(200):
        for name, estimate in look(real, write(80, seed, stuck=0.3), probe).items():
            if name in NAMES:
                diversity.setdefault(name, []).append((estimate.value, estimate.lo or 0.0, estimate.hi or 0.0))
    for name, rows in diversity.items():
        value, lo, hi = np.asarray(rows).T
        share = np.mean((lo <= value.mean()) & (value.mean() <= hi))
        assert 0.92 <= share <= (0.98 if name == "repetition" else 1.0), (name, share)
        assert 0.9 < (hi - lo).mean() / 3.92 / value.std() < 1.5, name


def test_sentence_embeddings_of_repeated_text_are_less_diverse(tmp_path: Path) -> None:
    words = ["the", "cat", "dog", "sat", "on", "a", "mat"]
    spec = Spec(
        "tokens", (16,), tokens=Tokens(7, "0", lambda rows: [" ".join(words[t] for t in r) for r in rows.tolist()])
    )
    extractor = TextEmbedding(spec, pretrained=str(write_bert(tmp_path / "bert")))
    real, stuck = (extractor.extract(samples(rows)) for rows in (write(40, 0, 7), np.tile(write(4, 1, 7), (10, 1))))
    wide, narrow = (Vendi()(features, real, rng())["vendi"].value for features in (real, stuck))
    assert narrow < 4.001  # there are 4 different texts
    assert narrow < wide


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (write(40, 0), write(3, 0), "needs at least 4 samples of at least 4 tokens; there are 3 generated ones of 16"),
        (write(0, 0), write(9, 0), "there are 0 real ones of 16"),
        (write(9, 0)[:, :3], write(9, 0), "there are 9 real ones of 3"),
    ],
)
def test_too_few_samples_and_too_short_ones_are_refused(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        look(real, generated)


def test_samples_that_are_not_rows_of_tokens_are_refused() -> None:
    for data in (torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.zeros(5, 8)):
        rows = Samples(data, np.full(5, -1))
        with pytest.raises(UserError, match="needs samples that are rows of tokens; the real ones are"):
            TextDiversity()(type(subject(write(4, 0), write(4, 0)))(None, lambda: None, rows, rows), rng())  # type: ignore[arg-type, return-value]
