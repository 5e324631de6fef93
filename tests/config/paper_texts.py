"""Folders that stand in for the texts and the weights of `+experiment=interacting_lm +scale=paper`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WORDS = np.array([f"w{i}" for i in range(400)])
SENTENCES = 64_000  # BookCorpus has 74 million, of which the preset reads half a million
# Rows of the training splits, and mean tokens of a row
SCIQ, GSM8K, ARC = (11_679, 100), (7_473, 95), (2_251, 25)


def written(folder: Path) -> list[str]:
    """Write the texts and a tiny model, and return the overrides that name them."""
    import datasets

    rng = np.random.default_rng(0)
    answers, choices = texts(rng, *GSM8K), [texts(rng, 4, 4) for _ in range(ARC[0])]
    support = [text if row % 10 else "" for row, text in enumerate(texts(rng, *SCIQ))]  # a tenth has none
    rows: dict[str, dict[str, list[Any]]] = {
        "public": {"text": texts(rng, SENTENCES, 16)},
        "a_texts": {"support": support, "question": texts(rng, SCIQ[0], 14)},
        "b_texts": {"question": texts(rng, *GSM8K), "answer": answers},
        "c_texts": {
            "question": texts(rng, *ARC),
            "choices": [{"text": four, "label": list("ABCD")} for four in choices],
            "answerKey": [*"ABC"] * (ARC[0] // 3) + ["D"] * (ARC[0] % 3),
        },
    }
    for name, columns in rows.items():
        split = datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns)})
        split.save_to_disk(str(folder / name))
    return [*(f"dataset.corpora.{name}.name={folder / name}" for name in rows), *stand_in(folder / "model")]


def texts(rng: np.random.Generator, n: int, length: int) -> list[str]:
    """Return texts of some words, which are as many tokens."""
    return [" ".join(row) for row in WORDS[rng.integers(0, len(WORDS), (n, length))]]


def stand_in(folder: Path) -> list[str]:
    """Write a model of two blocks of 512 tokens with its tokenizer, and return the overrides that name it."""
    entries = {"<end>": 0, "<unknown>": 1} | {str(word): 2 + i for i, word in enumerate(WORDS)}
    backend = Tokenizer(WordLevel(entries, unk_token="<unknown>"))
    backend.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>").save_pretrained(folder)
    config = GPT2Config(vocab_size=len(entries), n_positions=1024, n_embd=8, n_layer=1, n_head=1)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return [f"dataset.tokenizer={folder}", f"model.pretrained={folder}"]
