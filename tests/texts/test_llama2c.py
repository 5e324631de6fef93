from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import obtain
from collapse_lab.texts import llama2c
from collapse_lab.texts.checkpoints import checkpoint
from collapse_lab.texts.tokenizer import tokenizer
from tests.texts.llama2c_file import logits, made, merged, pieces_of, scores_of

WORDS = ("then", "cats", "bring", "old")


def scored(seed: int = 0) -> list[tuple[str, float]]:
    """Return every run of letters of a few words, also after a space, in a random order of scores."""
    words = [f" {word}" for word in WORDS]
    runs = {word[i:j] for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1)}
    order = np.random.default_rng(seed).permutation(sorted(runs))
    return [(str(run), -float(i)) for i, run in enumerate(order)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama2c") / "model.data"
    words = scored()
    path.write_bytes(made(259 + len(words)).weights() + pieces_of(words))
    return path


@pytest.fixture(scope="module")
def folder(source: Path) -> Path:
    target = source.parent / "converted"
    llama2c.convert(source, target)
    return target


def in_double(model: Any, cosines: np.ndarray, sines: np.ndarray) -> Any:
    """Convert a model to float64, also its norms and rotations, which transformers computes in float32 in any case.

    The logits of random weights magnify a rounding error 1000 times, so in float32 they depend on the CPU's kernels.
    """
    rotations = [torch.from_numpy(table).double().repeat(1, 2)[None] for table in (cosines, sines)]

    def norm(module: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)

    def rotate(x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(table[:, position_ids[0]] for table in rotations)

    for module in model.double().modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = partial(norm, module)
    model.model.rotary_emb.forward = rotate
    return model


def test_logits_agree_with_llama2c(folder: Path) -> None:
    tables = made(259 + len(scored()))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    model = in_double(model, tables.arrays["cosines"], tables.arrays["sines"])
    ids = np.random.default_rng(1).integers(0, 259 + len(scored()), 20).tolist()
    with torch.inference_mode():
        computed = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(computed, torch.from_numpy(logits(tables, ids)))  # in float64: rtol=1e-7, atol=1e-7


def test_rotations_agree_with_llama2c(folder: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tables = made(259 + len(scored())).arrays
    length = len(tables["cosines"])
    rotations = model.model.rotary_emb(torch.zeros(1), torch.arange(length)[None])
    # An angle of `length` at most is rounded twice, at its frequency and at its product, and its cosine once
    bound = (2 * length + 1) * torch.finfo(torch.float32).eps
    for ours, theirs in zip(rotations, (tables["cosines"], tables["sines"]), strict=True):
        torch.testing.assert_close(ours[0], torch.from_numpy(theirs).repeat(1, 2), rtol=0, atol=bound)


def test_tokens_agree_with_greedy_merging(folder: Path) -> None:
    words = scored()
    scores = {word.replace(" ", "▁"): score for word, score in words}
    ids = {word: 259 + i for i, word in enumerate(scores)}
    loaded = tokenizer(str(folder), 0, (), "")
    rng = np.random.default_rng(2)
    letters = [*WORDS, *"thencatsbringold", " ", "  ", "é", "漢", "\n", "<s>", "X"]
    texts = ["", "a", *("".join(rng.choice(letters, 12)) for _ in range(300))]
    assert [row.tolist() for row in loaded.encode(texts)] == [merged(text, scores, ids) for text in texts]
    for text, row in zip(texts, loaded.encode(texts), strict=True):
        assert loaded.decode(torch.from_numpy(row)[None]) == [text]


def test_transformers_reads_the_converted_folder(folder: Path) -> None:
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert (loaded.unk_token_id, loaded.bos_token_id, loaded.eos_token_id) == (0, 1, 1)
    assert config["eos_token_id"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:20], "does not begin with the header"),
        (lambda raw: b"GGUF" * 10 + raw, "ends within the weights"),
        (lambda raw: bytes(28) + raw[28:], "does not begin with the header"),
        (lambda raw: raw[:3000], "ends within the weights 'embedding'"),
        (lambda raw: raw[:-1], "should end with the file"),
        (lambda raw: raw[:-40], "should end with [0-9]+ pieces"),
        (lambda raw: raw + b"x", "should end with the file"),
    ],
)
def test_a_damaged_file_is_refused(source: Path, tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "model.data"
    path.write_bytes(change(source.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        llama2c.convert(path, tmp_path / "converted")


@pytest.mark.hub
def test_stories15m_writes_a_story(cache: str) -> None:
    folder = checkpoint("stories15m", cache)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert sum(p.numel() for p in model.parameters()) == 15_191_712
    loaded = tokenizer("stories15m", 0, (), cache)
    start = torch.tensor([[loaded.end, *next(iter(loaded.encode(["Once upon a time"])))]])
    with torch.inference_mode():
        story = model.generate(start, max_new_tokens=120, do_sample=False)
        loss = torch.nn.functional.cross_entropy(model(story).logits[0, :-1], story[0, 1:])
    # As Karpathy's run.c prints it at temperature 0
    assert loaded.decode(story)[0].startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the sunshine. One day, she "
        "saw a big, red ball in the sky. It was the sun! She thought it was so pretty."
    )
    assert loss < 1.0


@pytest.mark.hub
def test_tokens_of_stories15m_agree_with_greedy_merging(cache: str) -> None:
    loaded = tokenizer("stories15m", 0, (), cache)
    (path,) = obtain(llama2c.PACKAGE, cache).values()
    scores = scores_of(path.read_bytes()[60_816_028:])
    ids = {word: 259 + i for i, word in enumerate(scores)}
    texts = [
        "Once upon a time, there was a little girl named Lily.",
        "  The naïve café: 12,345 €  — 漢字 and 😀!\n\nfunction(x) { return x**2; }",
        "Antidisestablishmentarianism is unquestionably a word, isn't it?",
    ]
    assert [row.tolist() for row in loaded.encode(texts)] == [merged(text, scores, ids) for text in texts]
    assert [loaded.decode(torch.from_numpy(row)[None])[0] for row in loaded.encode(texts)] == texts
