"""The causal language model: fits, continues, scores, and refuses what does not match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.models.causal_lm import CausalLM
from collapse_lab.sinks.silent import Silent
from collapse_lab.texts.tokenizer import Tokenizer, tokenizer
from collapse_lab.types import Budget, Conditions, Samples, Spec

BLOCK, SIZE = 8, 12
SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "lr": 0.01}
PLACE = Seeds(0, 0, "model", "sample")


def words() -> Backend:
    return Backend(WordLevel({"<end>": 0, **{f"w{i}": i for i in range(1, SIZE)}}, unk_token="<end>"))


def spec() -> Spec:
    return Spec("tokens", (BLOCK,), tokens=Tokenizer(words(), 0).tokens)


def counting(n: int = 64) -> Samples:
    """Blocks that count upwards from anywhere, modulo the vocabulary."""
    start = torch.randint(0, SIZE, (n, 1), generator=torch.Generator().manual_seed(0))
    return Samples((start + torch.arange(BLOCK)) % SIZE, np.full(n, -1))


def built(**arguments: Any) -> CausalLM:
    with Seeds(0, 0, "model", "fit").child("init").scoped():
        return CausalLM(spec(), **{**SMALL, **arguments})


def fitted(steps: int = 150, **arguments: Any) -> CausalLM:
    model = built(**arguments)
    model.fit(counting(), Budget(steps, 16), Seeds(0, 0, "model", "fit"), Silent())
    return model


def continuing(n: int = 10) -> Conditions:
    rows = counting(n)
    return Conditions(rows.labels, rows.captions, rows.data)


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "llama"])
def test_it_learns_to_count_on(architecture: str) -> None:
    model, asked = fitted(architecture=architecture), continuing()
    assert asked.context is not None
    expected = (asked.context[:, -1:] + 1 + torch.arange(BLOCK)) % SIZE
    found = model.sample(asked, PLACE, Silent()).data
    # Two blocks take places that no block of training has, so that only the first half is learnt
    assert (found[:, :1] == expected[:, :1]).all()
    assert model.token_nlls(counting()).mean() < built(architecture=architecture).token_nlls(counting()).mean() / 4


def test_the_nll_is_that_of_the_softmax() -> None:
    model, rows = built(), counting(5)
    logits = model.net(rows.data).logits
    exact = -logits.log_softmax(-1)[:, :-1].gather(-1, rows.data[:, 1:, None])[..., 0]
    torch.testing.assert_close(model.token_nlls(rows), exact)


def test_samples_do_not_depend_on_the_batch() -> None:
    for how in ({"num_beams": 3}, {"num_beams": 1, "do_sample": True}):
        whole, parts = (built(**how, sampling_batch=size).sample(continuing(), PLACE, Silent()) for size in (10, 3))
        assert torch.equal(whole.data, parts.data)


def test_decoding_is_no_part_of_the_weights() -> None:
    assert set(built().weights()) == set(built(num_beams=1, do_sample=True, temperature=0.5).weights())
    assert "transformer.wte.weight" in built().weights()
    assert "lm_head.weight" not in built().weights()  # the same numbers as the embedding's


def saved(folder: Path, positions: int = 64) -> Path:
    config = LlamaConfig(
        vocab_size=SIZE,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=positions,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words(), eos_token="<end>").save_pretrained(folder)
    return folder


def of(folder: Path) -> Spec:
    """The spec of a data set with the tokenizer of a checkpoint."""
    return Spec("tokens", (BLOCK,), tokens=tokenizer(str(folder), 0, (), str(folder)).tokens)


def test_a_pretrained_one_starts_from_its_weights(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    model = CausalLM(of(folder), pretrained=str(folder), root=str(tmp_path))
    theirs = LlamaForCausalLM.from_pretrained(folder)
    rows = counting(4).data
    torch.testing.assert_close(model.net(rows).logits, theirs(rows).logits)
    model.fit(counting(), Budget(3, 8), Seeds(0, 0, "model", "fit"), Silent())
    assert not torch.equal(model.net(rows).logits, theirs(rows).logits)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give dataset\.tokenizer="):
        CausalLM(spec(), pretrained=str(saved(tmp_path / "model")), root=str(tmp_path))


def test_blocks_beyond_the_positions_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", positions=12)
    with pytest.raises(UserError, match=r"dataset\.block=6 or less"):
        CausalLM(of(folder), pretrained=str(folder), root=str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"architecture": "gpt3"}, "did you mean 'gpt2'"),
        ({"lr_schedule": "cosin"}, "did you mean 'cosine'"),
        ({"width": 15}, "model.heads times"),
        ({"dropout": 1.0}, "model.dropout"),
        ({"num_beams": 0}, "num_beams is 1 or more"),
        ({"do_sample": True}, "model.num_beams=1"),
        ({"temperature": 0.5}, "model.do_sample=true"),
        ({"top_p": 0.0}, "model.top_p lies in"),
        ({"repetition_penalty": 0.0}, "above 0"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        built(**arguments)


def test_pictures_are_refused() -> None:
    with pytest.raises(UserError, match="dataset=python_docs"):
        CausalLM(Spec("image", (1, 8, 8)))


def test_nothing_to_continue_is_refused() -> None:
    with pytest.raises(UserError, match="prompts=continuation"):
        built().sample(Conditions(np.full(2, -1), counting().captions), PLACE, Silent())
