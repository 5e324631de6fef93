from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collapse_lab.datasets.text_domains import TextDomains
from collapse_lab.datasets.textfile import TextFile
from collapse_lab.errors import UserError
from collapse_lab.prompts import Domain
from collapse_lab.types import Samples
from tests.datasets.texts import text_of

WORDS = {"farm": ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"), "town": ("inn", "bar", "zoo", "spa", "pub")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two texts, whose documents differ in their words."""
    for name, words in WORDS.items():
        documents = [f"The {word} of the {name}. It is the {word}, the {word} of old." for word in words]
        (tmp_path / f"{name}.txt").write_text("\n\n".join(documents))
    return tmp_path


def corpus(folder: Path, name: str, **changes: Any) -> TextFile:
    return TextFile(path=str(folder / f"{name}.txt"), cache="absent", **changes)


def domains(folder: Path, **changes: Any) -> TextDomains:
    arguments = {"vocabulary": 260, "block": 16, "cache": "absent", **changes}
    return TextDomains(corpora={name: corpus(folder, name) for name in WORDS}, **arguments)


def of_label(samples: Samples, label: int) -> Samples:
    return samples.take((samples.labels == label).nonzero()[0])


def test_the_label_of_a_block_is_its_corpus(folder: Path) -> None:
    data = domains(folder)
    assert data.spec.classes == ("farm", "town")
    real = data.load()
    for rows in (real.train, real.reference):
        for label, name in enumerate(WORDS):
            (other,) = set(WORDS) - {name}
            text = text_of(of_label(rows, label), data)
            assert name in text
            assert other not in text


def test_the_blocks_of_a_domain_are_those_of_its_corpus_alone(folder: Path) -> None:
    together = domains(folder, validation_fraction=0.25).load()
    for label, name in enumerate(WORDS):
        # The tokenizer of so few entries knows bytes alone, so both learn the same one
        alone = corpus(folder, name, vocabulary=260, block=16, validation_fraction=0.25)
        for split in ("train", "reference", "validation"):
            ours, theirs = of_label(getattr(together, split), label), getattr(alone.load(), split)
            assert text_of(ours, domains(folder)) == text_of(theirs, alone)


def test_counts_are_of_each_domain_and_fewer_blocks_are_the_first_ones(folder: Path) -> None:
    few, many = domains(folder, train=2, reference=1).load(), domains(folder).load()
    assert few.train.labels.tolist() == [0, 0, 1, 1]
    assert few.reference.labels.tolist() == [0, 1]
    for label in (0, 1):
        assert of_label(few.train, label).data.equal(of_label(many.train, label).data[:2])


def test_the_key_follows_the_texts_and_the_names(folder: Path) -> None:
    first = domains(folder).key
    assert domains(folder).key == first
    renamed = {"fields": corpus(folder, "farm"), "town": corpus(folder, "town")}
    assert TextDomains(corpora=renamed, vocabulary=260, block=16, cache="absent").key != first
    (folder / "town.txt").write_text("Another text.\n\nAnd one more.")
    assert domains(folder).key != first


def test_a_prompt_set_of_domains_continues_their_blocks_in_turns(folder: Path) -> None:
    data = domains(folder)
    train = data.load().train
    conditions = Domain(["farm", "town"]).bind(data.spec).conditions(4, train, data.spec)
    assert conditions.labels.tolist() == [0, 1, 0, 1]
    farm, town = of_label(train, 0).data, of_label(train, 1).data
    assert conditions.context is not None
    for row, block in enumerate((farm[0], town[0], farm[1], town[1])):
        assert conditions.context[:][row].equal(block)
    assert Domain(["town"]).bind(data.spec).member(train).tolist() == (train.labels == 1).tolist()


def test_blocks_are_continued_again_where_they_may_be_repeated(folder: Path) -> None:
    data = domains(folder, train=3)
    train = data.load().train
    again = Domain(["farm", "town"], repeat=True).bind(data.spec)
    conditions = again.conditions(10, train, data.spec)
    assert conditions.labels.tolist() == [0, 1] * 5
    assert conditions.context is not None
    farm = of_label(train, 0).data
    assert conditions.context[::2].equal(farm[[0, 1, 2, 0, 1]])
    few, without = again.conditions(6, train, data.spec), Domain(["farm", "town"]).bind(data.spec)
    once = without.conditions(6, train, data.spec)
    assert few.context is not None
    assert once.context is not None
    assert few.context[:].equal(once.context[:])
    with pytest.raises(UserError, match="domain 'farm' has 0 training blocks"):
        again.conditions(2, of_label(train, 1), data.spec)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"takes two data sets of texts or more.*got \['farm'\]"):
        TextDomains(corpora={"farm": corpus(folder, "farm")}, cache="absent")
    with pytest.raises(UserError, match=r"dataset.corpora.farm.block has no effect.*give dataset.block"):
        TextDomains(corpora={"farm": corpus(folder, "farm", block=8), "town": corpus(folder, "town")}, cache="absent")
    with pytest.raises(UserError, match=r"domain 'farm': dataset.train=999 asks for more blocks"):
        domains(folder, train=999).load()
    data = domains(folder)
    with pytest.raises(UserError, match="no class is called 'city'"):
        Domain(["city"]).bind(data.spec)
    with pytest.raises(UserError, match=r"domain 'town' has .* training blocks to continue, and n_samples=9999"):
        Domain(["town"]).conditions(9999, data.load().train, data.spec)
    with pytest.raises(UserError, match="labelled texts"):
        Domain(["farm"]).bind(corpus(folder, "farm", vocabulary=260).spec)
