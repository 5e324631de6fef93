from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab.engine.fitting import Training
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.plan import GRID, Step
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.stages import Stage
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.replace import Replace
from collapse_lab.prompts import Everything, Labels
from collapse_lab.types import Conditions, DrawRequest, FitRequest, Provenance, RealData, SampleRequest, Samples, Spec
from tests.engine.test_work import EveryOther
from tests.standins import DIGITS, Chain

PAIR: Mapping[str, Mapping[str, Any]] = {"a": {"mark": 10}, "b": {"mark": 20}}


class WithValidation:
    """Provide the digits, and validation rows that depend on a number; None provides no validation rows."""

    key, spec = DIGITS.key, DIGITS.spec

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def load(self) -> RealData:
        real = DIGITS.load()
        if self.seed is None:
            return real
        return replace(real, validation=real.reference.take(np.arange(self.seed, self.seed + 9)))


class Forbidden:
    """Fail when any work is executed."""

    def fit(self, request: FitRequest) -> None:
        raise AssertionError("a plan fits nothing")

    def sample(self, request: SampleRequest) -> Samples:
        raise AssertionError("a plan samples nothing")

    def clock(self) -> float:
        raise AssertionError("a plan takes no time")

    def wait(self, attempt: Any, work: str) -> None:
        raise AssertionError("a plan takes no lock")


def chain(**changes: Any) -> Chain:
    """Return a chain whose folder does not exist, and which may compute nothing."""
    return Chain(Path("never"), **{"executor": Forbidden(), **changes})


def steps_of(**changes: Any) -> list[Step]:
    """Return the step of each generation of a chain of one model."""
    return [step for (step,) in chain(**changes).plan()]


def steps_of_lab(lab: Lab) -> list[Step]:
    return [step for (step,) in lay_out(lab, Silent()).plan]


def facts(stage: Stage) -> dict[str, Any]:
    return stage.facts


def test_every_generation_has_a_step_of_every_model_in_their_order() -> None:
    plan = chain(members=PAIR, exposure=[[0.5, 0.5]] * 2).plan()
    assert [[(step.generation, step.model) for step in steps] for steps in plan] == [
        [(generation, "a"), (generation, "b")] for generation in range(4)
    ]
    keys = [stage.key for steps in plan for step in steps for stage in step.stages]
    assert len(set(keys)) == len(keys)


def test_laying_out_twice_gives_the_same_keys() -> None:
    keys = [[stage.key for step in steps_of() for stage in step.stages] for _ in range(2)]
    assert keys[0] == keys[1]


def test_stages_of_a_step_are_in_the_order_in_which_they_are_computed() -> None:
    step = steps_of(retrain=[0, 1], mixing=Replace())[1]
    assert list(step.samples) == list(step.grids) == ["seen", "all"]
    assert step.curated is step.samples["seen"]
    assert step.stages == [step.fit, *step.samples.values(), *step.grids.values()]
    lab = replace(chain().lab(), curation=EveryOther(), mixing=Contaminate(0.25))
    step = steps_of_lab(lab)[1]
    assert step.stages == [step.fit, *step.samples.values(), *step.grids.values(), step.curated]


@pytest.mark.parametrize("lineage", ["previous", "first", "scratch"])
def test_the_parents_of_a_fit_are_its_first_weights_and_the_samples_among_its_rows(lineage: str) -> None:
    first, second, third, _ = steps_of(lineage=lineage)
    warm = {"previous": [first.fit, second.fit], "first": [first.fit, first.fit], "scratch": []}[lineage]
    assert first.fit.parents == []
    assert second.fit.parents == [*warm[:1], first.samples["all"]]
    assert third.fit.parents == [*warm[1:], second.samples["all"]]


def test_members_of_unlike_lineages_share_their_fits_with_those_of_one_lineage() -> None:
    def fits(lineage: Any) -> dict[str, list[str]]:
        plan = chain(members=PAIR, lineage=lineage).plan()
        return {name: [step.fit.key for steps in plan for step in steps if step.model == name] for name in PAIR}

    mixed = fits({"b": "scratch"})
    assert mixed == {"a": fits("previous")["a"], "b": fits("scratch")["b"]}
    assert mixed["b"] != fits("previous")["b"]


def test_a_fit_on_real_rows_alone_rests_on_no_samples() -> None:
    for step in steps_of(mixing=Contaminate(0.0), lineage="scratch"):
        assert (step.fit.parents, step.counts) == ([], {"real": 40, "synthetic": 0})


def test_a_fit_on_all_earlier_samples_rests_on_each_of_them() -> None:
    steps = steps_of(mixing=Accumulate(), lineage="scratch")
    for generation, step in enumerate(steps):
        assert step.fit.parents == [earlier.curated for earlier in steps[:generation]]
        assert step.counts == {"real": 40, "synthetic": 40 * generation}


def test_members_rest_on_the_samples_of_the_members_that_they_are_exposed_to() -> None:
    plan = chain(members=PAIR, exposure=[[0.5, 0.5], [0, 1]], lineage="scratch").plan()
    (a, b), (next_a, next_b) = plan[0], plan[1]
    assert next_a.fit.parents == [a.curated, b.curated]
    assert next_b.fit.parents == [b.curated]


def test_curated_samples_and_not_the_raw_ones_enter_the_pool() -> None:
    lab = replace(chain(lineage="scratch").lab(), curation=EveryOther(), mixing=Contaminate(0.5))
    first, second, *_ = steps_of_lab(lab)
    assert first.curated.parents == [first.samples["all"]]
    assert second.fit.parents == [first.curated]
    # 40 samples are made and 20 are left
    with pytest.raises(UserError, match="there are 20"):
        steps_of_lab(replace(lab, mixing=Replace()))


class TwoForOne(EveryOther):
    """Ask for twice as many samples, so that half of them are as many as are wanted."""

    def enlarge(self, conditions: Conditions) -> Conditions:
        rows = np.tile(np.arange(len(conditions)), 2)
        return Conditions(conditions.labels[rows], conditions.captions.take(rows))


def test_samples_that_curation_will_drop_are_made_beside_those_that_are_measured() -> None:
    plain = replace(chain(lineage="scratch").lab(), mixing=Replace())
    first, second, *_ = steps_of_lab(replace(plain, curation=TwoForOne()))
    assert first.samples["all"].key == steps_of_lab(plain)[0].samples["all"].key
    (more,) = first.more
    assert more.parents == [first.fit]
    assert more.key != first.samples["all"].key
    assert first.curated.parents == [first.samples["all"], more]
    assert first.stages[-2:] == [more, first.curated]
    assert second.counts == {"real": 0, "synthetic": 40}
    assert steps_of_lab(plain)[0].more == []


def test_the_fit_is_the_parent_of_samples_and_grids() -> None:
    for step in steps_of():
        for stage in (*step.samples.values(), *step.grids.values()):
            assert (stage.kind, stage.parents) == ("sample", [step.fit])


def test_every_generation_has_random_numbers_of_its_own_and_grids_those_of_generation_0() -> None:
    for generation, step in enumerate(steps_of(seed=5)):
        assert facts(step.fit)["seeds"] == (5, generation, "model", "fit")
        assert facts(step.samples["all"])["seeds"] == (5, generation, "model", "sample/all")
        assert facts(step.grids["all"])["seeds"] == (5, 0, "model", "grid/all")


def test_a_grid_has_the_same_conditions_in_every_generation_and_for_every_number_of_samples() -> None:
    grids = [facts(step.grids["all"])["conditions"] for n in (40, (40, 50, 60, 70, 80)) for step in steps_of(n=n)]
    assert len(set(grids)) == 1
    samples = [facts(step.samples["all"])["conditions"] for step in steps_of(n=(40, 60, GRID, 40, 40))]
    # A generation samples what the next one is trained on, so generation 1 samples as many as a grid has
    assert len(set(samples)) == 3
    assert samples[1] == grids[0]
    assert samples[2] == samples[3]


def test_data_that_are_no_pictures_have_no_grids() -> None:
    class Points:
        """Give the digits as if they were points."""

        key = DIGITS.key
        spec = replace(DIGITS.spec, modality="points")
        load = staticmethod(DIGITS.load)

    lab = replace(chain().lab(), dataset=Points(), extractors={}, metrics={})
    assert [step.grids for step in steps_of_lab(lab)] == [{}] * 4


@pytest.mark.parametrize(
    ("keep", "every", "committed"),
    [("all", 1, [0, 1, 2, 3]), ("last", 2, [0, 1, 2, 3]), ("metrics", 2, [0, 2]), ("metrics", 9, [0])],
)
def test_stages_of_the_generations_that_the_store_commits_are_persisted(
    keep: str, every: int, committed: list[int]
) -> None:
    for step in steps_of(keep=keep, every=every):
        assert {stage.persist for stage in step.stages} == {step.generation in committed}


FIT, SAMPLES, LATER_FIT, LATER_SAMPLES = "fit", "samples", "later fit", "later samples"
EVERYTHING = {FIT, SAMPLES, LATER_FIT, LATER_SAMPLES}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"generations": 5}, set()),
        ({"keep": "metrics", "every": 7}, set()),
        ({"seed": 1}, EVERYTHING),
        ({"n": 39}, EVERYTHING),
        ({"members": {"model": {"mark": 8}}}, EVERYTHING),
        ({"members": {"other": {}}}, EVERYTHING),
        ({"mixing": Contaminate(0.25)}, {LATER_FIT, LATER_SAMPLES}),
        ({"lineage": "scratch"}, {LATER_FIT, LATER_SAMPLES}),
        ({"lineage": "first"}, set()),  # because generation 1 starts from generation 0 in either case
        ({"members": {"model": {"spread": 0.5}}}, {SAMPLES, LATER_FIT, LATER_SAMPLES}),
        ({"members": {"model": {"spread": 0.9}}}, set()),
        ({"schedules": {"spread": [0.9, 0.5]}}, {LATER_SAMPLES}),
    ],
    # Because the order of a set differs between the processes of a test run, the changes alone are named
    ids=lambda value: " ".join(sorted(value)) or "nothing",
)
def test_a_setting_changes_the_keys_of_what_depends_on_it_and_no_others(
    changes: dict[str, Any], expected: set[str]
) -> None:
    def keys(steps: list[Step]) -> dict[str, str]:
        first, second = steps[:2]
        return {
            FIT: first.fit.key,
            SAMPLES: first.samples["all"].key,
            LATER_FIT: second.fit.key,
            LATER_SAMPLES: second.samples["all"].key,
        }

    plain, changed = keys(steps_of()), keys(steps_of(**changes))
    assert {name for name in plain if plain[name] != changed[name]} == expected


def test_validation_rows_are_part_of_the_key_of_a_fit_that_chooses_its_weights_on_them() -> None:
    def fits(validates: bool, seed: int | None) -> list[str]:
        lab = chain().lab()
        lab = replace(
            lab, dataset=WithValidation(seed), models=[replace(model, validates=validates) for model in lab.models]
        )
        return [step.fit.key for step in steps_of_lab(lab)]

    plain = fits(False, None)
    assert fits(False, 0) == plain
    keys = [plain, fits(True, 0), fits(True, 1)]
    assert all(len(set(of_generation)) == 3 for of_generation in zip(*keys, strict=True))
    with pytest.raises(UserError, match=r"the data set has none; give dataset\.validation_fraction=0\.1, or"):
        fits(True, None)


@pytest.mark.parametrize(
    ("training", "device", "first", "later"),
    [
        (Training(1, 1), "cuda", False, False),
        (Training(1, 1, pack=4), "cpu", False, False),
        (Training(1, 1, finetune_steps=1), "cpu", False, False),
        (Training(1, 1, finetune_steps=2), "cpu", False, True),
        (Training(2, 1), "cpu", True, True),
        (Training(1, 2), "cpu", True, True),
        (Training(1, 1, precision="bf16-mixed"), "cpu", True, True),
        (Training(1, 1, gradient_clip=None), "cpu", True, True),
    ],
    ids=str,
)
def test_the_budget_is_part_of_the_key_of_a_fit_and_the_device_is_not(
    training: Training, device: str, first: bool, later: bool
) -> None:
    plain = steps_of_lab(chain().lab())
    changed = steps_of_lab(replace(chain().lab(), training=training, device=device))
    assert [one.fit.key != other.fit.key for one, other in zip(plain, changed, strict=True)] == [first, *[later] * 3]


def test_epochs_count_the_rows_of_each_training_set() -> None:
    lab = replace(chain(mixing=Accumulate()).lab(), training=Training(1, 16, epochs=2.0))
    # 2 epochs of 40, 80, 120 and 160 rows, in batches of 16
    assert [facts(step.fit)["steps"] for step in steps_of_lab(lab)] == [5, 10, 15, 20]


def test_the_words_of_a_data_set_are_part_of_the_key_of_a_fit() -> None:
    assert facts(steps_of()[0].fit)["vocabulary"] == DIGITS.spec.vocabulary
    assert len(DIGITS.spec.vocabulary) == 10


def test_rows_outside_the_base_prompts_are_never_trained_on() -> None:
    lab = chain().lab()
    base = Labels([3]).bind(DIGITS.spec)
    prompts = replace(lab.prompts, sets={"threes": base, "all": Everything()}, retrain="all", base="threes")
    layout = lay_out(replace(lab, prompts=prompts, generations=1), Silent())
    assert (layout.lab.real.train.labels[layout.lab.trainable] == 3).all()
    assert [dict(step.counts) for (step,) in layout.plan] == [
        {"real": 40, "synthetic": 0},
        {"real": 20, "synthetic": 20},
    ]
    changed = lay_out(replace(lab, prompts=replace(prompts, base=None), generations=1), Silent())
    assert layout.plan[0][0].fit.key != changed.plan[0][0].fit.key


class Asking(Contaminate):
    """Keep what the policy is asked for."""

    def __init__(self, horizon: int | None) -> None:
        super().__init__(0.5)
        self.horizon = horizon
        self.calls: list[tuple[Provenance, DrawRequest]] = []

    def draw(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        self.calls.append((pool, request))
        return super().draw(pool, request)


@pytest.mark.parametrize("horizon", [1, 2, None])
def test_a_policy_is_shown_the_real_rows_and_the_samples_within_its_horizon(horizon: int | None) -> None:
    policy = Asking(horizon)
    steps_of(mixing=policy)
    originals = policy.calls[1][1].originals
    assert len(originals) == 40
    for generation, (pool, request) in enumerate(policy.calls):
        assert len(pool.real) == len(DIGITS.load().train)
        born = [g for g in range(generation) if horizon is None or g >= generation - horizon]
        assert sorted(set(pool.synthetic.born.tolist())) == born
        assert len(pool.synthetic) == 40 * len(born)
        assert (request.generation, request.n, request.exposure) == (generation, 40, {1: 1.0})
        assert request.seeds.path == [0, generation, "model", "mix"]
        assert request.originals.tolist() == (originals.tolist() if generation else [])


def test_labels_of_samples_that_are_not_made_yet_are_known_from_their_conditions() -> None:
    policy = Asking(None)
    lab = replace(chain(mixing=policy).lab(), curation=EveryOther())
    steps_of_lab(replace(lab, generations=1))
    conditions = lab.conditions("all", 40)
    assert policy.calls[1][0].synthetic.labels.tolist() == conditions.labels[::2].tolist()


def test_texts_need_prompts_to_continue() -> None:
    class Texts:
        """Give the digits as if they were texts."""

        key = DIGITS.key
        spec: Spec = replace(DIGITS.spec, modality="tokens")
        load = staticmethod(DIGITS.load)

    lab = replace(chain().lab(), dataset=Texts(), extractors={}, metrics={})
    with pytest.raises(UserError, match="the prompt set 'all' gives none to continue: give prompts=continuation"):
        lay_out(lab, Silent())
