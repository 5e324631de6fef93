"""The language models' chain, from one command, on the text that every Python carries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collapse_lab.config.composing import compose
from tests.e2e.command import ledger, only_run
from tests.nursery import Nursery

# The tiny twin, of a network that is smaller still
LINE = ["+experiment=recursive_lm", "+scale=tiny", "model.width=32", "model.layers=2", "sinks=[console]"]
LINE += ["trainer.steps=12", "trainer.finetune_steps=6", "dataset.reference=64"]
QUANTILES = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")


@pytest.fixture(scope="module")
def runs(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lm") / "runs"
    end = nursery.run([*LINE, "ratio=0.9", "probes.perplexity.zero_shot=true", f"paths.runs={place}"], PAGE="1")
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


def test_the_model_before_its_first_fit_is_in_the_line_of_generation_0_alone(runs: Path) -> None:
    first, *later = [line["metrics"] for line in ledger(only_run(runs, "recursive_lm"))]
    assert first["all/perplexity_zero_shot"] == pytest.approx(2048, rel=0.05)  # a fresh network is nearly uniform
    assert not any("zero_shot" in name for line in later for name in line)


def test_the_texts_of_each_generation_are_kept_and_shown(runs: Path) -> None:
    run = only_run(runs, "recursive_lm")
    files = [json.loads(path.read_text()) for path in sorted((run / "texts" / "all").glob("model-g*.json"))]
    assert len(files) == 3
    prompts = [[example["prompt"] for example in file["examples"]] for file in files]
    assert prompts[0] == prompts[1] == prompts[2]
    assert len(set(prompts[0])) == 8
    for file in files:
        assert sum(file["histograms"]["generated_perplexity"].values()) == 64
    page = (run / "report.html").read_text()
    assert "Examples of texts" in page
    assert "Texts by their perplexity" in page


def test_the_model_has_learnt_something(runs: Path) -> None:
    first = ledger(only_run(runs, "recursive_lm"))[0]["metrics"]
    assert first["all/perplexity_hi"] < 2048  # the size of the vocabulary, which is what knowing nothing gives


def test_the_papers_size_is_that_of_the_text_and_of_the_released_code() -> None:
    cfg = compose("+experiment=recursive_lm", "+scale=paper", "ratio=0.9", "trainer.epochs=10").cfg
    assert (cfg.model.pretrained, cfg.dataset.tokenizer) == ("facebook/opt-125m", "facebook/opt-125m")
    assert (cfg.dataset.name, cfg.dataset.validation_split, cfg.dataset.reference_split) == (
        *("Salesforce/wikitext", "validation"),
        "test",
    )
    assert (cfg.dataset.block, cfg.dataset.reference, cfg.dataset.validation) == (64, None, None)
    assert (cfg.model.num_beams, cfg.model.selection, cfg.model.repetition_penalty) == (5, "best", 1.0)
    assert (cfg.trainer.batch_size, cfg.trainer.epochs, cfg.trainer.gradient_clip) == (128, 10, None)
    settings = cfg.model.optimisation
    assert (settings.lr, settings.lr_schedule, settings.warmup) == (2e-5, "cosine_epochs", 0)
    assert (cfg.generations, cfg.population.lineage) == (9, "pretrained")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["prompts=all"], "prompts=continuation"),
        (["n_samples=65"], "there are 64 training blocks to continue"),
        (["dataset.tokenizer=bpee"], "bpe"),
        (
            ["dataset.validation=5000"],
            "dataset.validation=5000 asks for more blocks than the validation documents give",
        ),
        (["dataset.validation_fraction=1.5"], "validation_fraction must lie strictly between 0 and 1, got 1.5"),
        (["dataset.validation_fraction=0.999"], "and both must have some: change the fraction or add documents"),
        (["dataset.validation_fraction=null"], "give dataset.validation_fraction=0.1, or model.selection=last"),
        (["model.selection=last", "model.validate_every=5"], "give model.selection=best, or model.validate_every=null"),
    ],
    ids=str,
)
def test_what_does_not_match_is_refused_before_training(
    given: list[str], told: str, nursery: Nursery, tmp_path: Path
) -> None:
    end = nursery.run([*LINE, *given, f"paths.runs={tmp_path}"])
    assert (end.code, told in end.err) == (2, True), end.err
