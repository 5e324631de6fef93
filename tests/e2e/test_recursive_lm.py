"""The language models' chain, from one command, on the text that every Python carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import ledger, only_run
from tests.e2e.conftest import Nursery

# The tiny twin, of a network that is smaller still
LINE = ["+experiment=recursive_lm", "+scale=tiny", "model.width=32", "model.layers=2", "sinks=[console]"]
QUANTILES = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")


@pytest.fixture(scope="module")
def runs(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lm") / "runs"
    end = nursery.run([*LINE, "ratio=0.9", f"paths.runs={place}"])
    assert end.code == 0, end.err
    return place


def test_each_generation_trains_on_continuations_and_a_tenth_of_the_original(runs: Path) -> None:
    assert [line["counts"] for line in ledger(only_run(runs, "recursive_lm"))] == [
        {"real": 64, "synthetic": 0},
        {"real": 6, "synthetic": 58},
        {"real": 6, "synthetic": 58},
    ]


def test_real_and_generated_text_are_measured(runs: Path) -> None:
    for line in ledger(only_run(runs, "recursive_lm")):
        found = line["metrics"]
        assert 1 < found["all/perplexity_lo"] < found["all/perplexity"] < found["all/perplexity_hi"]
        spread = [found[f"all/generated_perplexity_{q}"] for q in QUANTILES]
        assert spread == sorted(spread)
        assert 0 < found["all/distinct_2"] < found["all/distinct_2_floor"]


def test_the_model_has_learnt_something(runs: Path) -> None:
    first = ledger(only_run(runs, "recursive_lm"))[0]["metrics"]
    assert first["all/perplexity_hi"] < 2048  # the size of the vocabulary, which is what knowing nothing gives


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["prompts=all"], "prompts=continuation"),
        (["n_samples=65"], "there are 64 training blocks to continue"),
        (["dataset.tokenizer=bpee"], "bpe"),
    ],
    ids=str,
)
def test_what_does_not_match_is_refused_before_training(
    given: list[str], told: str, nursery: Nursery, tmp_path: Path
) -> None:
    end = nursery.run([*LINE, *given, f"paths.runs={tmp_path}"])
    assert (end.code, told in end.err) == (2, True), end.err
