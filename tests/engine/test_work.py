from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.payloads import samples_of
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.work import Work
from collapse_lab.errors import Diverged, UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Conditions, Extractor, FitRequest, SampleRequest, Samples, Spec, Weights
from tests.engine.cases import Classifier, component
from tests.models.cases import same
from tests.standins import DIGITS, Chain, Gaussian


class Recorder(Alone):
    """Execute requests, and keep them with the weights that each model holds when the request is made."""

    def __init__(self) -> None:
        self.fits: list[tuple[FitRequest, Weights]] = []
        self.samples: list[tuple[SampleRequest, Weights]] = []

    def fit(self, request: FitRequest) -> None:
        self.fits.append((request, request.model.weights()))
        super().fit(request)

    def sample(self, request: SampleRequest) -> Samples:
        self.samples.append((request, request.model.weights()))
        return super().sample(request)


class Reports:
    """Keep every report of progress."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        self.lines.append((generation, model, phase, total))

    def advance(self, steps: int = 1) -> None:
        self.lines.append(("advance", steps))

    def stop(self) -> None:
        self.lines.append(("stop",))


class EveryOther:
    """Keep every second sample, and the arguments of each call."""

    version: ClassVar[int] = 1
    changes_samples: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def __init__(self) -> None:
        self.calls: list[tuple[Samples, Samples, Extractor | None, float]] = []

    def plan(self, conditions: Conditions) -> Conditions:
        rows = np.arange(0, len(conditions), 2)
        return Conditions(conditions.labels[rows], conditions.captions.take(rows))

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        self.calls.append((generated, real, scorer, float(rng.random())))
        return generated.take(np.arange(0, len(generated), 2))


class ScoredEveryOther(EveryOther):
    """Keep every second sample, and ask for a classifier."""

    needs_classifier: ClassVar[bool] = True


def lab_of(folder: Path, **changes: Any) -> tuple[Lab, Recorder]:
    executor = Recorder()
    lab = Chain(folder, generations=2, executor=executor).lab()
    lab.store.open()
    return replace(lab, **changes), executor


def test_the_executor_is_given_the_fit_of_each_generation(tmp_path: Path) -> None:
    training = Training(steps=5, batch_size=7, finetune_steps=2, gradient_clip=None)
    lab, executor = lab_of(tmp_path, training=training)
    progress = Reports()
    layout = lay_out(lab, progress)
    layout.plan[2][0].fit.value()
    assert [request.seeds for request, _ in executor.fits] == [Seeds(0, g, "model", "fit") for g in range(3)]
    for generation, (request, _) in enumerate(executor.fits):
        assert isinstance(request.model, Gaussian)
        assert request.identity == lab.models[0].fit_identity
        assert request.budget == Budget(2 if generation else 5, 7, gradient_clip=None, warm=generation > 0)
        assert request.progress is progress
        assert len(request.data) == 40
    assert len({id(request.model) for request, _ in executor.fits}) == 3
    real = {row.numpy().tobytes() for row in lab.real.train.data[:]}
    first = executor.fits[0][0].data
    assert {row.numpy().tobytes() for row in first.data} <= real


def test_the_executor_is_given_the_samplings_of_each_prompt_set_and_grid(tmp_path: Path) -> None:
    lab, executor = lab_of(tmp_path)
    lab = replace(
        lab,
        models=[
            replace(
                lab.models[0], identities=[{**lab.models[0].identities[0], "arguments": {"spread": 0.5, "mark": 9}}]
            )
        ],
    )
    (step,) = lay_out(lab, Silent()).plan[1]
    step.samples["all"].value()
    step.grids["all"].value()
    assert len(executor.samples) == 2 + 1  # generation 0 samples the training set of generation 1
    for (request, _), role, generation, place, n in zip(
        executor.samples, ("sample/all", "sample/all", "grid/all"), (0, 1, 1), (0, 1, 0), (40, 40, 50), strict=True
    ):
        assert request.generation == generation
        assert request.seeds == Seeds(0, place, "model", role)
        assert len(request.conditions) == n
        assert request.sampling == {"spread": 0.5}
        assert request.identity["arguments"] == {"mark": 9}


def test_payloads_are_what_the_model_gives(tmp_path: Path) -> None:
    lab, executor = lab_of(tmp_path)
    (step,) = lay_out(lab, Silent()).plan[0]
    samples = samples_of(step.samples["all"].value())
    (request, weights) = executor.samples[0]
    assert same(step.fit.value().tensors, weights)
    assert same(executor.fits[0][0].model.weights(), weights)
    expected = request.model.sample(request.conditions, request.seeds, Silent())
    assert torch.equal(samples.data, expected.data)
    assert samples.labels.tolist() == expected.labels.tolist()
    assert samples.captions.texts() == expected.captions.texts()


def test_progress_is_told_of_each_phase_and_of_its_end(tmp_path: Path) -> None:
    lab, _ = lab_of(tmp_path, training=Training(steps=5, batch_size=7))
    progress = Reports()
    (step,) = lay_out(lab, progress).plan[0]
    step.samples["all"].value()
    step.grids["all"].value()
    fit, sample, grid = (0, "model", "fit", 5), (0, "model", "sample all", 40), (0, "model", "grid all", 50)
    ends = [("advance", 5), ("advance", 40), ("advance", 50)]
    assert progress.lines == [
        line for start, end in zip((fit, sample, grid), ends, strict=True) for line in (start, end, ("stop",))
    ]


@pytest.mark.parametrize("error", [Diverged("of itself"), ValueError("of another kind")])
def test_progress_is_told_of_the_end_of_a_phase_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any) -> None:
        raise error

    lab, _ = lab_of(tmp_path)
    progress = Reports()
    (step,) = lay_out(lab, progress).plan[0]
    monkeypatch.setattr(Gaussian, "fit", fails)
    if isinstance(error, Diverged):
        step.fit.value()
    else:
        with pytest.raises(ValueError, match="of another kind"):
            step.fit.value()
    assert progress.lines == [(0, "model", "fit", 1), ("stop",)]


@pytest.mark.parametrize("method", ["fit", "sample"])
def test_a_divergence_is_a_payload_that_is_stored_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def diverge(*_: Any) -> None:
        raise Diverged("the loss was nan at step 3")

    def stage_of(lab: Lab) -> Stage:
        (step,) = lay_out(lab, Silent()).plan[0]
        return step.fit if method == "fit" else step.samples["all"]

    lab, executor = lab_of(tmp_path)
    monkeypatch.setattr(Gaussian, method, diverge)
    payload = stage_of(lab).value()
    assert payload.divergence == "the loss was nan at step 3"
    assert (dict(payload.tensors), dict(payload.meta)) == ({}, {})
    with pytest.raises(Diverged, match="the loss was nan at step 3"):
        payload.sound()
    calls = len(executor.fits) + len(executor.samples)
    again = stage_of(lab)
    assert again.ready
    assert again.value().divergence == payload.divergence
    assert len(executor.fits) + len(executor.samples) == calls


def test_a_divergence_is_told_from_another_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("out of memory")

    lab, _ = lab_of(tmp_path)
    monkeypatch.setattr(Gaussian, "fit", fails)
    (step,) = lay_out(lab, Silent()).plan[0]
    with pytest.raises(RuntimeError, match="out of memory"):
        step.fit.value()
    assert not step.fit.ready


@pytest.mark.parametrize("lineage", ["previous", "first", "scratch"])
def test_a_warm_start_loads_the_weights_of_the_generation_before_or_of_the_first(tmp_path: Path, lineage: str) -> None:
    executor = Recorder()
    chain = Chain(tmp_path, lineage=lineage, generations=2, executor=executor)
    chain.run()
    starts = [weights for _, weights in executor.fits]
    fresh = Gaussian(DIGITS.spec).weights()
    assert same(starts[0], fresh)
    for generation in (1, 2):
        before = chain.weights(0 if lineage == "first" else generation - 1)
        assert same(starts[generation], fresh if lineage == "scratch" else before)
        assert not same(before, fresh)


def test_a_fresh_model_is_initialised_from_the_place_of_its_fit_alone(tmp_path: Path) -> None:
    drawn: list[float] = []

    def construct(spec: Spec, **_: Any) -> Gaussian:
        drawn.append(float(torch.rand(1)))
        return Gaussian(spec)

    lab, _ = lab_of(tmp_path)
    layout = lay_out(replace(lab, models=[replace(lab.models[0], construct=construct)]), Silent())
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    layout.plan[1][0].fit.value()
    assert torch.equal(torch.rand(1), expected)
    places = [Seeds(0, generation, "model", "fit/init") for generation in (0, 1)]
    with places[0].scoped():
        first = float(torch.rand(1))
    with places[1].scoped():
        second = float(torch.rand(1))
    # Generation 0 is built for its fit, and once more to be sampled
    assert drawn == [first, first, second]


def test_the_last_model_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Gaussian] = []
    load = Gaussian.load

    def noting_load(self: Gaussian, weights: Weights) -> None:
        loads.append(self)
        load(self, weights)

    lab, executor = lab_of(tmp_path)
    layout = lay_out(lab, Silent())
    (first,), (second,), _ = layout.plan
    second.fit.value()
    monkeypatch.setattr(Gaussian, "load", noting_load)
    for stage in (*second.samples.values(), *second.grids.values()):
        stage.value()
    assert len(loads) == 1
    work = layout.work
    kept = work.fitted("model", second.fit, 1)
    assert kept is loads[0]
    assert [request.model for request, _ in executor.samples[-2:]] == [kept, kept]
    assert same(kept.weights(), second.fit.value().tensors)
    other = work.fitted("model", first.fit, 0)
    assert other is not kept
    assert same(other.weights(), first.fit.value().tensors)
    # Only one is kept
    assert work.fitted("model", second.fit, 1) is not kept
    assert len(loads) == 3


def test_a_fitted_model_is_moved_to_the_device_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[str] = []
    lab, _ = lab_of(tmp_path)
    monkeypatch.setattr(Gaussian, "to", lambda self, device: moves.append(device))
    layout = lay_out(replace(lab, device="cuda:1"), Silent())
    (step,) = layout.plan[0]
    layout.work.fitted("model", step.fit, 0)
    assert moves == ["cuda:1"]


def test_without_curation_the_samples_themselves_enter_the_pool(tmp_path: Path) -> None:
    lab, _ = lab_of(tmp_path)
    (step,) = lay_out(lab, Silent()).plan[0]
    assert step.curated is step.samples["all"]


def curated(tmp_path: Path, curation: EveryOther, **changes: Any) -> tuple[Lab, Stage, Stage, Work]:
    """Return a lab, a stage of samples, the stage of their curation, and what made it."""
    lab, _ = lab_of(tmp_path, curation=curation, **changes)
    progress = Silent()
    work = Work(lab, Extractors(lab, progress), progress)
    (step,) = lay_out(lab, progress).plan[1]
    return lab, step.samples["all"], work.curate(1, "model", [step.samples["all"]]), work


def test_curated_samples_are_a_stage_of_their_own(tmp_path: Path) -> None:
    curation = EveryOther()
    lab, sampled, stage, work = curated(tmp_path, curation)
    assert (stage.kind, stage.parents, stage.persist) == ("curated", [sampled], True)
    assert work.curate(1, "model", [sampled]).key == stage.key
    assert work.curate(1, "other", [sampled]).key != stage.key
    kept = samples_of(stage.value())
    ((generated, real, scorer, draw),) = curation.calls[-1:]
    assert scorer is None
    assert torch.equal(generated.data, samples_of(sampled.value()).data)
    assert torch.equal(kept.data, generated.data[::2])
    assert torch.equal(real.data, lab.real.train.data[:])
    assert draw == Seeds(0, 1, "model", "curate").numpy().random()


def test_curation_compares_with_real_rows_of_the_retrained_prompts_alone(tmp_path: Path) -> None:
    curation = EveryOther()
    lab = replace(Chain(tmp_path, retrain=[0, 1, 2], generations=0).lab(), curation=curation)
    lab.store.open()
    lay_out(lab, Silent()).plan[0][0].curated.value()
    _, real, _, _ = curation.calls[0]
    assert set(real.labels) == {0, 1, 2}
    assert len(real) == int(np.isin(lab.real.train.labels, [0, 1, 2]).sum())


def test_curation_that_scores_rests_on_the_classifier(tmp_path: Path) -> None:
    curation = ScoredEveryOther()
    _, sampled, stage, _ = curated(tmp_path, curation, extractors={"lenet": component(Classifier([]))}, metrics={})
    assert [parent.kind for parent in stage.parents] == ["sample", "extractor"]
    assert stage.parents[0] is sampled
    stage.value()
    assert isinstance(curation.calls[-1][2], Classifier)


def test_curation_that_scores_needs_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this curation scores images with a classifier"):
        curated(tmp_path, ScoredEveryOther())


@pytest.mark.parametrize("persist", [True, False])
def test_curated_samples_are_committed_where_the_samples_are(tmp_path: Path, persist: bool) -> None:
    lab = replace(Chain(tmp_path, keep="all" if persist else "metrics", every=5).lab(), curation=EveryOther())
    (step,) = lay_out(lab, Silent()).plan[1]
    assert (step.samples["all"].persist, step.curated.persist) == (persist, persist)
