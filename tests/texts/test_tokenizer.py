from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.errors import UserError
from collapse_lab.texts import tokenizer as module
from collapse_lab.texts.tokenizer import END, Tokenizer, tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the cat\n", "a mat, a cat; the hat"]


def learnt(vocabulary: int = 270) -> Tokenizer:
    return tokenizer("bpe", vocabulary, TEXTS, "absent")


def tokens_of(text: str, trained: Tokenizer) -> list[int]:
    (row,) = trained.encode([text])
    return [int(token) for token in row]


def save(trained: Tokenizer, folder: Path, **marks: str) -> str:
    """Write a folder as the author of a model would, and return its path."""
    transformers.PreTrainedTokenizerFast(tokenizer_object=trained.backend, **marks).save_pretrained(folder)
    transformers.GPT2Config(vocab_size=trained.size, bos_token_id=0, eos_token_id=0).save_pretrained(folder)
    return str(folder)


LEARNT = learnt()


@given(st.lists(st.text(max_size=40), max_size=5))
def test_every_text_survives_encoding_and_decoding(texts: list[str]) -> None:
    for text, row in zip(texts, LEARNT.encode(texts), strict=True):
        assert ((row >= 0) & (row < LEARNT.size)).all()
        assert LEARNT.end not in row
        assert LEARNT.decode(torch.from_numpy(row)[None]) == [text]


def test_the_first_merge_joins_the_most_frequent_pair() -> None:
    # Pairs lie within words, and a word is letters with the space before them, as in GPT-2
    words = [word for text in TEXTS for word in text.replace(",", " ,").replace(";", " ;").replace("\n", "").split(" ")]
    pairs = Counter(pair for word in words for pair in pairwise(word))
    (most, count), (_, second) = pairs.most_common(2)
    assert count > second
    smallest = learnt(258)
    assert smallest.backend.id_to_token(257) == "".join(most)
    assert len(tokens_of("at", smallest)) == 1
    assert len(tokens_of("ta", smallest)) == 2


def test_a_mark_spelt_out_in_a_text_is_encoded_as_text() -> None:
    row = tokens_of(f"a {END} b", LEARNT)
    assert LEARNT.end not in row
    assert LEARNT.decode(torch.tensor([row])) == [f"a {END} b"]


def test_a_line_break_separates_decoded_documents() -> None:
    cat, mat, end = tokens_of("cat", LEARNT), tokens_of("mat", LEARNT), [LEARNT.end]
    rows = [end + cat + end + mat, cat + end + mat + end, cat + end + end + mat]
    width = max(map(len, rows))
    padded = torch.tensor([row + end * (width - len(row)) for row in rows])
    assert LEARNT.decode(padded) == ["cat\nmat"] * 3
    assert LEARNT.decode(torch.full((2, 3), LEARNT.end)) == ["", ""]


def test_learning_gives_the_same_vocabulary_in_every_process() -> None:
    code = (
        "from collapse_lab.texts.tokenizer import tokenizer\n"
        f"print(tokenizer('bpe', 270, {TEXTS!r}, 'absent').identity)"
    )
    identities = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"RAYON_NUM_THREADS": threads}
        ).stdout.strip()
        for threads in ("1", "3")
    }
    assert identities == {LEARNT.identity}
    assert learnt(269).identity != LEARNT.identity


def test_a_vocabulary_of_many_texts_is_learnt_once_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 1)
    first = tokenizer("bpe", 270, TEXTS, str(tmp_path))
    assert first.identity == LEARNT.identity
    (path,) = (tmp_path / "tokenizers").iterdir()
    monkeypatch.setattr(module, "_learn", None)
    assert tokenizer("bpe", 270, TEXTS, str(tmp_path)).identity == LEARNT.identity
    path.write_text("{")
    with pytest.raises(UserError, match=r"is damaged .* delete it"):
        tokenizer("bpe", 270, TEXTS, str(tmp_path))


def test_other_texts_or_another_size_are_learnt_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 1)
    for vocabulary, texts in [(270, TEXTS), (269, TEXTS), (270, TEXTS[:2]), (270, ["".join(TEXTS)])]:
        tokenizer("bpe", vocabulary, texts, str(tmp_path))
    assert len(list((tmp_path / "tokenizers").iterdir())) == 4


def test_a_saved_tokenizer_is_equal_after_reading(tmp_path: Path) -> None:
    saved = tokenizer(save(LEARNT, tmp_path, eos_token=END), 0, (), "absent")
    assert (saved.identity, saved.size, saved.end) == (LEARNT.identity, 270, LEARNT.end)
    assert saved.tokens.identity == LEARNT.identity
    assert tokens_of("the cat sat", saved) == tokens_of("the cat sat", LEARNT)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [(256, "vocabulary is 257 or more"), (400, r"more than the training documents give, which is \d+")],
)
def test_an_impossible_size_of_the_vocabulary_is_refused(vocabulary: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learnt(vocabulary)


def test_an_unsuitable_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known language model"):
        tokenizer("pbe", 270, TEXTS, "absent")
    with pytest.raises(UserError, match="no eos_token"):
        tokenizer(save(LEARNT, tmp_path / "bare"), 0, (), "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="has no tokenizer"):
        tokenizer(str(tmp_path / "empty"), 0, (), "absent")


def test_without_a_network_a_name_on_the_hub_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"tokenizer of 'owner/absent' cannot be read \([^\n]*\): [^\n]* name and the network$"
    ):
        tokenizer("owner/absent", 0, (), str(tmp_path))
