"""Two language models that learn from what both write, from one command, on texts of three made-up domains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from collapse_lab.texts.tokenizer import tokenizer
from tests.e2e.command import ledger, only_run
from tests.features.tiny_models import write_bert
from tests.nursery import Nursery
from tests.texts.tiny_checkpoint import write_checkpoint

WORDS = {
    "public": "the river city north basin of is in large county a river",
    "a_texts": "she said softly and he wept upon hearing her dear heart",
    "b_texts": "congress shall our nation tariff treasury we must war peace",
}
THIRD = {"c_texts": "film plot actor boring watched scene ending movie laugh worst"}
LINE = ["+experiment=interacting_lm", "generations=2", "n_train=40", "mixing.initial=80", "n_samples=24", "device=cpu"]
LINE += ["dataset.train=80", "dataset.reference=12", "dataset.vocabulary=300", "dataset.block=16", "features=[]"]
LINE += ["metrics=[]", "probes=[perplexity]", "model.width=32", "model.layers=1", "model.heads=2", "sinks=[]"]
LINE += ["trainer.steps=60", "trainer.finetune_steps=20", "model.optimisation.lr=0.01"]
LINE += ["model.optimisation.finetune_lr=0.01"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_corpora(tmp_path_factory.mktemp("domains"))


def write_corpora(folder: Path, more: Mapping[str, str] | None = None) -> list[str]:
    """Write the texts of each domain, and of some more, and return the overrides that name them."""
    rng = np.random.default_rng(0)
    overrides = []
    for name, words in {**WORDS, **(more or {})}.items():
        documents = [" ".join(rng.choice(words.split(), 12)) + "." for _ in range(250)]
        (folder / f"{name}.txt").write_text("\n\n".join(documents))
        node = f"{{_target_: collapse_lab.datasets.textfile.TextFile, path: {folder / name}.txt}}"
        overrides += [f"~dataset.corpora.{name}", f"+dataset.corpora.{name}={node}"]
    return overrides


def chain(
    nursery: Nursery, folder: Path, corpora: list[str], *overrides: str, members: str = "ab"
) -> dict[tuple[int, str], dict[str, float]]:
    """Return the metrics of a run by generation and member."""
    given = {override.partition("=")[0] for override in overrides}
    line = [override for override in LINE if override.partition("=")[0] not in given]
    end = nursery.run([*line, *corpora, *overrides, f"paths.runs={folder / 'runs'}", f"paths.data={folder / 'data'}"])
    assert end.code == 0, end.err
    lines = ledger(only_run(folder / "runs", "interacting_lm"))
    assert [(line["generation"], line["model"]) for line in lines] == [(g, m) for g in range(3) for m in members]
    counts = {(line["generation"], line["model"]): line["counts"] for line in lines}
    assert {counts[0, m]["private"] for m in members} == {40}
    assert {counts[0, m]["public"] for m in members} == {40}
    assert all(sum(counts[g, m][f"from_{j}"] for j in members) == counts[g, m]["synthetic"] for g, m in counts)
    return {(line["generation"], line["model"]): line["metrics"] for line in lines}


@pytest.fixture(scope="module")
def exchanged(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory, corpora: list[str]
) -> dict[tuple[int, str], dict[str, float]]:
    return chain(nursery, tmp_path_factory.mktemp("exchanged"), corpora, "ratio=0.5")


def test_a_model_learns_the_private_domain_of_the_other_and_keeps_its_own(
    exchanged: dict[tuple[int, str], dict[str, float]],
) -> None:
    for member, own, others in (("a", "a_texts", "b_texts"), ("b", "b_texts", "a_texts")):
        first, last = exchanged[0, member], exchanged[2, member]
        assert first[f"{own}/perplexity"] < 0.2 * first[f"{others}/perplexity"]
        assert last[f"{others}/perplexity"] < 0.3 * first[f"{others}/perplexity"]
        assert last[f"{own}/perplexity"] < 1.5 * first[f"{own}/perplexity"]


def test_without_an_exchange_it_learns_nothing_of_it(
    nursery: Nursery,
    tmp_path: Path,
    corpora: list[str],
    exchanged: dict[tuple[int, str], dict[str, float]],
) -> None:
    alone = chain(nursery, tmp_path, corpora, "ratio=0")
    for member, others in (("a", "b_texts"), ("b", "a_texts")):
        assert alone[0, member] == exchanged[0, member]  # generation 0 is the same
        assert alone[2, member][f"{others}/perplexity"] > 0.8 * alone[0, member][f"{others}/perplexity"]


def test_models_of_unlike_tokenizers_learn_from_each_other_by_their_texts(
    nursery: Nursery, tmp_path: Path, corpora: list[str]
) -> None:
    texts = [" ".join(WORDS.values()) * 9]
    line = ["ratio=0.5", "n_samples=12", "trainer.steps=100", "trainer.finetune_steps=30"]
    for member, size in (("a", 257), ("b", 310)):
        folder = write_checkpoint(tmp_path / member, tokenizer("bpe", size, texts, "unused"), 256, width=32)
        line += [f"+population.members.{member}.pretrained={folder}", f"+population.members.{member}.read_as=text"]
    metrics = chain(nursery, tmp_path, corpora, *line)
    for member, own, others in (("a", "a_texts", "b_texts"), ("b", "b_texts", "a_texts")):
        first, last = metrics[0, member], metrics[2, member]
        assert first[f"{own}/perplexity"] < 0.5 * first[f"{others}/perplexity"]
        assert last[f"{others}/perplexity"] < 0.6 * first[f"{others}/perplexity"]


def test_three_models_on_generated_text_alone_lose_their_domains_learn_the_others_and_grow_alike(
    nursery: Nursery, tmp_path: Path
) -> None:
    known = sorted({word for words in {**WORDS, **THIRD}.values() for word in words.split()})
    embedding = [f"features.text_embedding.pretrained={write_bert(tmp_path / 'bert', known)}"]
    embedding += ["features=[text_embedding]", "features.text_embedding.max_tokens=30", "metrics=[similarity]"]
    line = ["+experiment=interacting_lm_three", "ratio=1", "n_samples=14", *embedding]
    metrics = chain(nursery, tmp_path, write_corpora(tmp_path, THIRD), *line, members="abc")
    own = {"a": "a_texts", "b": "b_texts", "c": "c_texts"}
    for member, other in (("a", "b"), ("b", "c"), ("c", "a")):
        first, last = metrics[0, member], metrics[2, member]
        assert last[f"{own[member]}/perplexity"] > 1.5 * first[f"{own[member]}/perplexity"]
        assert last[f"{own[other]}/perplexity"] < 0.3 * first[f"{own[other]}/perplexity"]
        pair, subset = sorted((member, other)), own[member]
        name = f"{subset}/text_embedding/similarity_{pair[0]}"
        assert metrics[2, pair[1]][name] > metrics[0, pair[1]][name]
