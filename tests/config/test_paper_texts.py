"""`+experiment=interacting_lm +scale=paper` is laid out on texts of as many documents as the paper's data sets have."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical, signature_of
from collapse_lab.errors import UserError
from collapse_lab.experiment import Experiment, prepare
from collapse_lab.prompts import Domain
from tests.config.paper_texts import ARC, written

# Sentence embeddings need weights that are in no folder of a test
MORE = ["features=[]", "metrics=[]", "sinks=[]", "device=cpu", "dataset.corpora.public.passages=1000"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pytest.importorskip("datasets")
    return written(tmp_path_factory.mktemp("texts"))


def laid_out(folders: list[str], place: Path, *line: str) -> Experiment:
    return prepare(compose(*line, *folders, *MORE, f"paths.runs={place}", f"paths.store={place / 'store'}"))


def test_two_models_are_laid_out_at_the_papers_size(folders: list[str], tmp_path: Path) -> None:
    two = [override for override in folders if "c_texts" not in override]
    experiment = laid_out(two, tmp_path, "+experiment=interacting_lm", "+scale=paper", "ratio=0.5")
    steps, lab = experiment.plan.steps, experiment.layout.lab
    assert [(step.generation, step.model) for step in steps] == [(g, m) for g in range(16) for m in "ab"]
    blocks = [int((lab.real.train.labels == label).sum()) for label in range(3)]
    # 0.8 of the documents, each with a mark behind it
    assert blocks == [800 * (32 * 16 + 1) // 512, 8409 * 101 // 512, 5978 * 191 // 512]
    generated = {"synthetic": 25_000, "from_a": 12_500, "from_b": 12_500}
    for step, private in zip(steps[2:4], blocks[1:], strict=True):
        real = {"real": private + blocks[0], "private": private, "public": blocks[0]}
        assert step.counts == {**real, **generated}
    for subset in ("public", "a_texts", "b_texts"):
        context = lab.conditions(subset, 12_500).context
        assert context is not None
        assert context.shape == (12_500, 512)
    with pytest.raises(UserError, match=r"domain 'a_texts' has 1658 training blocks.*sets\.NAME\.repeat=true"):
        Domain(["a_texts"], lab.dataset.spec.classes).conditions(12_500, lab.real.train, lab.dataset.spec)


def test_a_third_model_is_laid_out_on_arc(folders: list[str], tmp_path: Path) -> None:
    line = ["+experiment=interacting_lm_three", "+scale=paper", "ratio=1", "mixing.beta=1"]
    experiment = laid_out(folders, tmp_path, *line)
    steps, lab = experiment.plan.steps, experiment.layout.lab
    assert [(step.generation, step.model) for step in steps] == [(g, m) for g in range(16) for m in "abc"]
    questions = round(0.8 * ARC[0])
    assert steps[2].counts["private"] == questions * (ARC[1] + 4 + 1) // 512  # a question, its answer, a mark
    assert {steps[-1].counts[f"from_{name}"] for name in "abc"} == {12_500}
    assert len(lab.conditions("c_texts", 12_500)) == 12_500


def test_a_third_model_is_the_run_that_the_line_of_a_third_member_gives() -> None:
    domain = "{_target_: collapse_lab.prompts.Domain, labels: [c_texts]}"
    third = ["+population.members.c={}", "+population.private.c=c_texts", "+population.generates.c=c_texts"]
    third += ['+dataset.corpora.c_texts={_target_: collapse_lab.datasets.imdb.IMDB, cache: "${paths.data}"}']
    third += [f"+prompts.sets.c_texts={domain}"]
    one, other = compose("+experiment=interacting_lm_three"), compose("+experiment=interacting_lm", *third)
    assert signature_of(canonical(one.cfg)) == signature_of(canonical(other.cfg))
