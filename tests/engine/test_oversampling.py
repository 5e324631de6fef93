"""Check that a curation which drops samples leaves as many as are wanted, in whole runs too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.curation.none import Nothing
from collapse_lab.curation.quality import DropWorst
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.oversampling import enlarged, from_row, joined
from collapse_lab.errors import Diverged, UserError
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.replace import Replace
from collapse_lab.types import Captions, Conditions, Curation, SampleRequest, Samples
from tests.engine.cases import Classifier, component
from tests.standins import Chain

KEEP_THREE_QUARTERS = DropWorst(0.25, oversample=True)


@dataclass
class Sampling(Alone):
    """Count the samples of each role, and let the samplings of one role diverge."""

    diverging: str = ""
    counts: dict[tuple[int, str], int] = field(default_factory=dict)

    def sample(self, request: SampleRequest) -> Samples:
        if request.seeds.role == self.diverging:
            raise Diverged("as it was told to")
        self.counts[request.generation, request.seeds.role] = len(request.conditions)
        return super().sample(request)


@dataclass
class Curated(Chain):
    """Train on curated samples alone."""

    curation: Curation = KEEP_THREE_QUARTERS
    mixing: Policy = field(default_factory=Replace)

    def lab(self) -> Lab:
        classifier = {"classifier": component(Classifier([]))}
        return replace(super().lab(), curation=self.curation, extractors=classifier, metrics={})


def test_a_chain_on_curated_samples_alone_trains_on_as_many_as_without_curation(tmp_path: Path) -> None:
    executor = Sampling()
    chain = Curated(tmp_path, executor=executor, generations=2)
    assert chain.run() == "ok"
    assert [record.counts for record in chain.records] == [{"real": 40, "synthetic": 0}] + [
        {"real": 0, "synthetic": 40}
    ] * 2
    # Ten digits with four images each: of five images floor(0.25 * 5) = 1 is dropped
    for generation in range(3):
        assert executor.counts[generation, "sample/all"] == 40
        assert executor.counts[generation, "sample/all/more"] == 10


def test_without_oversampling_a_chain_on_curated_samples_alone_has_too_few(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="40 synthetic rows of source 1 are asked for and there are 30"):
        Curated(tmp_path, curation=DropWorst(0.25)).plan()


def test_a_chain_ends_where_the_samples_for_curation_diverge(tmp_path: Path) -> None:
    chain = Curated(tmp_path, executor=Sampling("sample/all/more"), generations=2)
    assert chain.run() == "diverged"
    assert [(record.generation, record.status) for record in chain.records] == [(0, "diverged")]


def test_samples_that_do_not_fit_into_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str]] = []
    monkeypatch.setattr("collapse_lab.engine.plan.require", lambda size, what, remedy: asked.append((size, what)))
    Curated(tmp_path).plan()
    assert (10 * (64 + 16), "the 10 samples that curation drops") in asked


def test_a_curation_without_a_wish_is_given_what_is_wanted() -> None:
    wanted = Conditions(np.array([1, 0, 1]), Captions.of(["a", "b", "c"]))
    assert enlarged(Nothing(), wanted) is wanted
    rest = from_row(wanted, 1)
    assert (rest.labels.tolist(), rest.captions.texts()) == ([0, 1], ["b", "c"])
    assert len(from_row(wanted, 3)) == 0


@pytest.mark.parametrize("captioned", [(True, True), (True, False), (False, False)])
def test_joined_samples_follow_each_other_with_their_conditions(captioned: tuple[bool, bool]) -> None:
    def part(first: int, n: int, texts: bool) -> Samples:
        numbers = np.arange(first, first + n)
        captions = Captions.of([f"row {i}" for i in numbers]) if texts else Captions()
        return Samples(torch.from_numpy(numbers), numbers, captions)

    parts = [part(0, 3, captioned[0]), part(3, 2, captioned[1])]
    both = joined(parts)
    assert both.data.tolist() == both.labels.tolist() == [0, 1, 2, 3, 4]
    expected: list[Any] = [f"row {i}" if captioned[i > 2] else "" for i in range(5)]
    assert both.captions.texts() == (expected if any(captioned) else [])
    assert joined(parts[:1]) is parts[0]


def test_images_are_never_chosen_by_the_classifier_that_judges_them(tmp_path: Path) -> None:
    layout = Curated(tmp_path).layout()
    (step,) = layout.plan[0]
    scorer = step.curated.parents[-1]
    judges = {parent.key for stage in layout.ruler.features_of(step) for parent in stage.parents[1:]}
    assert scorer.kind == "extractor"
    assert len(judges) == 1
    assert scorer.key not in judges
    assert scorer.key in {stage.key for stage in layout.stages}
