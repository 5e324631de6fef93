"""The head of the page of a population: what models learnt of each other's domains, and kept of their own."""

from __future__ import annotations

import json
from pathlib import Path

from collapse_lab.report.learnt import sentences
from collapse_lab.report.summary import headline
from collapse_lab.results.collect import Collection, collect
from collapse_lab.results.private import knowing, on_others, on_own
from tests.report.test_exchange import written
from tests.report.test_members import write


def collected(folder: Path, ratios: tuple[float, ...]) -> Collection:
    for ratio in ratios:
        written(folder / f"r{ratio}", ratio)
    return collect([folder])


def test_each_model_has_its_own_domain_and_those_of_the_others(tmp_path: Path) -> None:
    collection = collected(tmp_path, (0.5,))
    name = knowing(collection)
    assert name is not None
    (run,) = collection.runs
    assert on_own(run, name) == [("a", "novels/perplexity"), ("b", "speeches/perplexity")]
    assert on_others(run, name) == [("a", "speeches/perplexity"), ("b", "novels/perplexity")]
    assert on_others(run, name, "b") == [("b", "novels/perplexity")]


def test_the_headline_says_what_models_learnt_and_kept(tmp_path: Path) -> None:
    # The made-up perplexity of a model on the other's domain is divided by 4 in three generations, and its own stays
    assert headline(collected(tmp_path, (0.5,))) == [
        "Perplexity on domains that a model never saw became 0.25 times as large over 3 generations.",
        "On a model's own domain it became 1.00 times as large.",
    ]


def test_configurations_are_named_one_by_one_and_many_by_their_ends(tmp_path: Path) -> None:
    few = headline(collected(tmp_path / "few", (0.0, 0.5)))[0]
    assert few.endswith("became 0.25 times as large at ratio 0 and 0.25 times at ratio 0.5 over 3 generations."), few
    many = headline(collected(tmp_path / "many", (0.0, 0.1, 0.2, 0.5, 1.0)))[0]
    assert many.count("times") == 2, many
    assert "became from 0.25 times as large at ratio" in many, many


def test_an_error_of_zero_has_no_such_sentences(tmp_path: Path) -> None:
    written(tmp_path / "one", 0.5)
    ledger = tmp_path / "one" / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        line["metrics"] = {"novels/squared_error": 0.0, "speeches/squared_error": 0.0}
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    collection = collect([tmp_path])
    name = knowing(collection)
    assert name is not None
    assert sentences(collection, name) == []


def test_a_number_that_is_not_logarithmic_is_told_by_its_difference(tmp_path: Path) -> None:
    written(tmp_path / "one", 0.5)
    ledger = tmp_path / "one" / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        coverage = {"a": {"novels": 0.9, "speeches": 0.2}, "b": {"novels": 0.2, "speeches": 0.9}}[line["model"]]
        line["metrics"] = {
            f"{domain}/pixels/coverage": value + (0.1 * line["generation"] if value < 0.5 else 0)
            for domain, value in coverage.items()
        }
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    unseen, own = headline(collect([tmp_path]))
    assert unseen == "Coverage on domains that a model never saw changed by +0.30 over 3 generations."
    assert own == "On a model's own domain it changed by +0.00."


def test_models_without_private_domains_have_no_such_sentences(tmp_path: Path) -> None:
    write(tmp_path / "one")
    collection = collect([tmp_path])
    name = knowing(collection)
    assert name is not None
    assert sentences(collection, name) == []
