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


def tokens_of(text: str, found: Tokenizer) -> list[int]:
    (row,) = found.encode([text])
    return [int(token) for token in row]


def save(found: Tokenizer, folder: Path, **marks: str) -> str:
    """A folder as a model's author would write it."""
    transformers.PreTrainedTokenizerFast(tokenizer_object=found.backend, **marks).save_pretrained(folder)
    transformers.GPT2Config(vocab_size=found.size, bos_token_id=0, eos_token_id=0).save_pretrained(folder)
    return str(folder)


LEARNT = learnt()


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_comes_back(texts: list[str]) -> None:
    for text, row in zip(texts, LEARNT.encode(texts), strict=True):
        assert ((row >= 0) & (row < LEARNT.size)).all()
        assert LEARNT.end not in row
        assert LEARNT.decode(torch.from_numpy(row)[None]) == [text]


def test_the_first_merge_is_of_the_most_frequent_pair() -> None:
    # Pairs within words, a word being letters with the space before them, as in GPT-2
    words = [word for text in TEXTS for word in text.replace(",", " ,").replace(";", " ;").replace("\n", "").split(" ")]
    pairs = Counter(pair for word in words for pair in pairwise(word))
    (most, count), (_, second) = pairs.most_common(2)
    assert count > second
    found = learnt(258)
    assert found.backend.id_to_token(257) == "".join(most)
    assert len(tokens_of("at", found)) == 1
    assert len(tokens_of("ta", found)) == 2


def test_a_mark_that_a_text_spells_out_is_text() -> None:
    row = tokens_of(f"a {END} b", LEARNT)
    assert LEARNT.end not in row
    assert LEARNT.decode(torch.tensor([row])) == [f"a {END} b"]


def test_documents_are_apart_by_a_line_break() -> None:
    cat, mat, end = tokens_of("cat", LEARNT), tokens_of("mat", LEARNT), [LEARNT.end]
    rows = [end + cat + end + mat, cat + end + mat + end, cat + end + end + mat]
    width = max(map(len, rows))
    padded = torch.tensor([row + end * (width - len(row)) for row in rows])
    assert LEARNT.decode(padded) == ["cat\nmat"] * 3
    assert LEARNT.decode(torch.full((2, 3), LEARNT.end)) == ["", ""]


def test_learning_is_the_same_in_every_process() -> None:
    code = (
        "from collapse_lab.texts.tokenizer import tokenizer\n"
        f"print(tokenizer('bpe', 270, {TEXTS!r}, 'absent').identity)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"RAYON_NUM_THREADS": threads}
        ).stdout.strip()
        for threads in ("1", "3")
    }
    assert found == {LEARNT.identity}
    assert learnt(269).identity != LEARNT.identity


def test_what_takes_long_is_learnt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 1)
    first = tokenizer("bpe", 270, TEXTS, str(tmp_path))
    assert first.identity == LEARNT.identity
    (path,) = (tmp_path / "tokenizers").iterdir()
    monkeypatch.setattr(module, "_learn", None)
    assert tokenizer("bpe", 270, TEXTS, str(tmp_path)).identity == LEARNT.identity
    path.write_text("{")
    with pytest.raises(UserError, match=r"is damaged .* delete it"):
        tokenizer("bpe", 270, TEXTS, str(tmp_path))


def test_other_texts_or_another_size_are_learnt_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 1)
    for vocabulary, texts in [(270, TEXTS), (269, TEXTS), (270, TEXTS[:2]), (270, ["".join(TEXTS)])]:
        tokenizer("bpe", vocabulary, texts, str(tmp_path))
    assert len(list((tmp_path / "tokenizers").iterdir())) == 4


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    found = tokenizer(save(LEARNT, tmp_path, eos_token=END), 0, (), "absent")
    assert (found.identity, found.size, found.end) == (LEARNT.identity, 270, LEARNT.end)
    assert found.tokens.identity == LEARNT.identity
    assert tokens_of("the cat sat", found) == tokens_of("the cat sat", LEARNT)


@pytest.mark.parametrize(
    ("vocabulary", "said"),
    [(256, "vocabulary is 257 or more"), (400, r"more than the training documents give, which is \d+")],
)
def test_a_vocabulary_that_cannot_be_is_refused(vocabulary: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        learnt(vocabulary)


def test_a_tokenizer_that_does_not_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known language model"):
        tokenizer("pbe", 270, TEXTS, "absent")
    with pytest.raises(UserError, match="no eos_token"):
        tokenizer(save(LEARNT, tmp_path / "bare"), 0, (), "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="has no tokenizer"):
        tokenizer(str(tmp_path / "empty"), 0, (), "absent")


def test_without_a_network_a_name_on_the_hub_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer of 'owner/absent' cannot be read (?s:.*) name and the network"):
        tokenizer("owner/absent", 0, (), str(tmp_path))
