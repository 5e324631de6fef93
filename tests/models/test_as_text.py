"""A language model that reads the data set as text: unlike tokenizers in one population."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.models.causal_lm import CausalLM
from collapse_lab.nn.as_text import NO_TOKEN, AsText
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.seeds import Seeds
from collapse_lab.texts.tokenizer import Tokenizer, tokenizer
from collapse_lab.types import Budget, Conditions, Samples, Spec
from tests.texts.tiny_checkpoint import write_checkpoint

TEXTS = ["the cat sat on the mat and the dog sat on the cat, as they do — naïve ☕ cats " * 3, "one two three " * 9] * 4
BLOCK = 12
PLACE = Seeds(0, 0, "model", "sample")
FASTER = Optimisation(lr=0.01, lr_schedule="cosine", weight_decay=0.01, warmup=0.05)


@pytest.fixture(scope="module")
def coarse() -> Tokenizer:
    return tokenizer("bpe", 290, TEXTS, "unused")


@pytest.fixture(scope="module")
def fine() -> Tokenizer:
    return tokenizer("bpe", 257, TEXTS, "unused")


def blocks_of(data: Tokenizer) -> Samples:
    """Return the blocks of the texts, as a corpus cuts them."""
    ids = [number for text in TEXTS for number in [*next(data.encode([text])).tolist(), data.end]]
    rows = torch.tensor(ids[: len(ids) // BLOCK * BLOCK]).reshape(-1, BLOCK)
    return Samples(rows, np.full(len(rows), -1))


def reading(data: Tokenizer, folder: Path, **arguments: Any) -> CausalLM:
    root = str(folder.parent)
    spec = Spec("tokens", (BLOCK,), tokens=data.tokens)
    arguments = {"optimisation": FASTER, "read_as": "text", **arguments}
    return CausalLM(spec, pretrained=str(folder), root=root, **arguments)


def continuing(data: Tokenizer, n: int = 20) -> Conditions:
    rows = blocks_of(data)
    return Conditions(rows.labels[:n], rows.captions, rows.data[:n])


def test_each_row_is_the_text_of_its_block_in_own_tokens(coarse: Tokenizer, fine: Tokenizer) -> None:
    blocks = blocks_of(coarse).data
    rows = AsText(coarse.tokens, fine, BLOCK, None).read(blocks)
    assert rows.shape[1] > BLOCK
    own = [row[row != NO_TOKEN] for row in rows]
    assert [fine.decode(row[None])[0] for row in own] == coarse.decode(blocks)
    marks = (blocks == coarse.end).sum(1)
    assert marks.any()
    assert torch.equal(torch.stack([(row == fine.end).sum() for row in own]), marks)


def test_with_the_tokenizer_of_the_data_set_nothing_changes(coarse: Tokenizer, tmp_path: Path) -> None:
    """Blocks whose text has the same tokens again have the scores and continuations of a model that reads tokens."""
    folder = write_checkpoint(tmp_path / "model", coarse)
    as_text, as_tokens = (reading(coarse, folder, read_as=way, num_beams=1) for way in ("text", "tokens"))
    rows = blocks_of(coarse)
    same = (AsText(coarse.tokens, coarse, BLOCK, None).read(rows.data)[:, :BLOCK] == rows.data).all(1).numpy()
    assert same.sum() >= 10
    kept = rows.take(np.flatnonzero(same))
    as_tokens.fit(rows, Budget(100, 16), Seeds(0, 0, "model", "fit"), Silent())
    as_text.load(as_tokens.weights())
    torch.testing.assert_close(as_text.token_nlls(kept).mean(1), as_tokens.token_nlls(kept).mean(1))
    conditions = Conditions(kept.labels, kept.captions, kept.data)
    written, expected = (
        coarse.decode(model.sample(conditions, PLACE, Silent()).data) for model in (as_text, as_tokens)
    )
    # A block of as many tokens goes on beyond the text where the same text has fewer tokens when it is encoded anew
    whole = [(text, start) for text, start in zip(written, expected, strict=True) if "�" not in start]
    assert len(whole) >= 10
    assert all(text.startswith(start) for text, start in whole)


def test_a_continuation_is_what_the_model_writes_after_the_text(coarse: Tokenizer, fine: Tokenizer) -> None:
    """A model that repeats the tokens of bytes gives blocks of the data set with the same text."""
    text = " and the cat sat on the dog, — naïve ☕" * 3
    bytes_of = torch.tensor(next(fine.encode([text])))
    as_text = AsText(coarse.tokens, fine, BLOCK, None)
    lengths: list[int] = []

    def write(contexts: torch.Tensor, places: torch.Tensor, length: int) -> torch.Tensor:
        lengths.append(length)
        return bytes_of[:length].expand(len(contexts), -1)

    steps: list[int] = []
    blocks = as_text.continued(blocks_of(coarse).data[:6], write, steps.append)
    assert steps == [BLOCK] * 6
    assert min(lengths) >= BLOCK
    for block in blocks:
        assert text.startswith(coarse.decode(block[None])[0].rstrip("�"))
        assert (block != coarse.end).all()


def test_a_continuation_that_is_too_short_is_written_again_and_filled_in_the_end(
    coarse: Tokenizer, fine: Tokenizer
) -> None:
    asked: list[int] = []

    def write(contexts: torch.Tensor, places: torch.Tensor, length: int) -> torch.Tensor:
        asked.append(length)
        letter = int(next(fine.encode(["x"]))[0])
        silent = fine.backend.get_vocab_size()  # a token that reads as nothing
        return torch.tensor([letter] * 3 + [silent] * (length - 3)).expand(len(contexts), -1)

    as_text = AsText(coarse.tokens, fine, BLOCK, None)
    (block,) = as_text.continued(blocks_of(coarse).data[:1], write, lambda _: None)
    assert asked == sorted(asked)
    assert asked[-1] == as_text.most
    assert coarse.decode(block[None])[0] == "xxx"
    assert (block == coarse.end).sum() == BLOCK - 3


@pytest.mark.parametrize("decoding", [{"num_beams": 2}, {"num_beams": 1, "do_sample": True}], ids=str)
def test_samples_do_not_depend_on_the_batch_size(
    coarse: Tokenizer, fine: Tokenizer, tmp_path: Path, decoding: dict[str, Any]
) -> None:
    folder, conditions = write_checkpoint(tmp_path / "model", fine), continuing(coarse)
    one, many = (
        reading(coarse, folder, sampling_batch=size, **decoding).sample(conditions, PLACE, Silent()) for size in (1, 7)
    )
    assert one.data.shape == (20, BLOCK)
    assert torch.equal(one.data, many.data)
    assert int(one.data.max()) < coarse.size


@pytest.mark.parametrize("selection", ["last", "best"])
def test_a_fit_learns_the_texts(coarse: Tokenizer, fine: Tokenizer, tmp_path: Path, selection: str) -> None:
    model = reading(coarse, write_checkpoint(tmp_path / "model", fine), selection=selection)
    rows = blocks_of(coarse)
    before = model.token_nlls(rows)
    model.validate_on(rows)
    model.fit(rows, Budget(60, 16), Seeds(0, 0, "model", "fit"), Silent())
    after = model.token_nlls(rows)
    assert after.shape == (len(rows), BLOCK - 1)
    assert after.mean() < before.mean() / 1.5
    exported = model.export(tmp_path / "exported")
    assert exported.library == "transformers"
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path / "exported").vocab_size == fine.size


def test_the_loss_is_the_sum_over_own_tokens_for_each_token_of_the_data_set(
    coarse: Tokenizer, fine: Tokenizer, tmp_path: Path
) -> None:
    model = reading(coarse, write_checkpoint(tmp_path / "model", fine))
    rows = blocks_of(coarse)
    own = AsText(coarse.tokens, fine, BLOCK, 96).read(rows.data)
    alone = [model.net(row[row != NO_TOKEN][None]).logits[0, :-1].log_softmax(-1) for row in own]
    scores = [-logits.gather(-1, row[row != NO_TOKEN][1:, None]) for logits, row in zip(alone, own, strict=True)]
    torch.testing.assert_close(
        model.token_nlls(rows).sum(1), torch.stack([score.sum() for score in scores]), rtol=1e-4, atol=1e-4
    )
    model.fit(rows, Budget(0, 4), Seeds(0, 0, "model", "fit"), Silent())
    model._rows = own
    expected = torch.cat(scores[:3]).sum() / (3 * (BLOCK - 1))
    torch.testing.assert_close(model.training_step(torch.arange(3)), expected, rtol=1e-4, atol=1e-4)


def test_own_rows_fit_into_the_positions(coarse: Tokenizer, fine: Tokenizer, tmp_path: Path) -> None:
    model = reading(coarse, write_checkpoint(tmp_path / "model", fine, positions=2 * BLOCK), num_beams=1)
    rows = blocks_of(coarse)
    assert AsText(coarse.tokens, fine, BLOCK, 2 * BLOCK).read(rows.data).shape[1] == 2 * BLOCK
    assert model.token_nlls(rows).isfinite().all()
    assert model.sample(continuing(coarse), PLACE, Silent()).data.shape == (20, BLOCK)


def test_reading_text_without_a_tokenizer_is_refused(coarse: Tokenizer, tmp_path: Path) -> None:
    spec = Spec("tokens", (BLOCK,), tokens=coarse.tokens)
    with pytest.raises(UserError, match=r"model\.pretrained is null: give model\.pretrained, or model\.read_as=tokens"):
        CausalLM(spec, read_as="text")


def test_a_data_set_that_encodes_no_texts_is_refused(coarse: Tokenizer, fine: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"give model\.read_as=tokens and weights with its tokenizer"):
        AsText(replace(coarse.tokens, serialised=None), fine, BLOCK, None)


def test_words_keep_the_space_before_them(fine: Tokenizer) -> None:
    """A tokenizer that decodes a row without the space at its beginning loses no space between context and text."""
    words = Backend(WordLevel({"<end>": 0, "a": 1, "b": 2}, unk_token="<end>"))
    own = Tokenizer(words, 0)
    assert fine.decode(torch.tensor([AsText(fine.tokens, own, BLOCK, None)._following([1, 2], [1, 1])]))[0] == " a a"
