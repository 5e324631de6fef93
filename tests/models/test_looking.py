"""A diffusion model keeps the moving average whose images lie nearest to validation rows, and looks change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged, UserError
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.selection import Selection
from collapse_lab.types import Budget, Captions, Checkpointing, Conditions, Glance, Samples, Weights
from tests.models.cases import DATA, place, same, small

FAMILIES = ("ddpm", "ddim")
VALIDATION = DATA.load().reference.take(np.arange(40))
TRAIN = DATA.load().train.take(np.arange(20))
EVERY_2 = Selection(every=2, features="pixels")
# A constant rate, so that a fit of fewer steps has the weights that a longer one passes through
FLAT: dict[str, Any] = {"lr_schedule": "constant", "warmup": 0.0, "lr": 0.01}


def kid(images: Samples) -> float:
    """Return the KID of images in pixels, apart from the engine."""
    return kernel_distance(*(rows.data.flatten(1).double() / 255 for rows in (images, VALIDATION)))


def fitted(family: str, steps: int, judge: Callable[[Samples], float] = kid, **changes: Any) -> Diffusion:
    model = small(family, pixels=Pixels(mirrored=True), **FLAT | changes)
    if model.validates:
        model.validate_on(VALIDATION)
        model.judge_by(judge)
    model.fit(TRAIN, Budget(steps, 8), place(), Silent())
    return model


def weights_of(model: Diffusion) -> Weights:
    return {name: value.clone() for name, value in model.weights().items()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stochastic", [False, True])
def test_the_weights_kept_are_those_of_the_smallest_kid_of_all_looks(family: str, stochastic: bool) -> None:
    sampler = Sampler(steps=4, options={"eta": 1.0 if stochastic else None})
    wanted = Conditions(VALIDATION.labels, VALIDATION.captions)
    passed = {steps: fitted(family, steps, sampler=sampler) for steps in (2, 4, 6, 7)}
    kids = {k: kid(model.sample(wanted, place().child("validation"), Silent())) for k, model in passed.items()}
    model = fitted(family, 7, sampler=sampler, selection=EVERY_2)
    assert model.looks == list(kids.items())
    best = min(kids, key=lambda steps: kids[steps])
    assert same(model.weights(), passed[best].weights())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_passes_through_the_same_weights_with_looks_and_without(family: str) -> None:
    scores = iter([3.0, 2.0, 1.0, 0.5])
    model = fitted(family, 7, lambda _: next(scores), selection=replace(EVERY_2, images=3, steps=2))
    assert [step for step, _ in model.looks] == [2, 4, 6, 7]
    assert same(model.weights(), fitted(family, 7).weights())
    first = fitted(family, 7, lambda _: 1.0, selection=EVERY_2)  # of equal numbers the first counts
    assert same(first.weights(), fitted(family, 2).weights())


def test_a_look_samples_as_many_images_and_steps_as_asked_for_and_the_model_keeps_its_sampler() -> None:
    seen: list[Samples] = []
    steps: list[int] = []

    def judge(images: Samples) -> float:
        seen.append(images)
        steps.append(model.sampler.steps)
        return 0.0

    model = small("ddpm", selection=Selection(every=7, features="pixels", images=10, steps=2))
    model.validate_on(VALIDATION)
    model.judge_by(judge)
    model.fit(TRAIN, Budget(7, 8), place(), Silent())
    assert ([len(images) for images in seen], steps) == ([10], [2])
    assert np.array_equal(seen[0].labels, VALIDATION.labels[::4])
    assert (model.sampler.steps, model.training) == (4, True)


def test_conditions_are_spread_over_the_validation_rows_where_there_are_fewer_or_more() -> None:
    rows = Samples(torch.zeros(4, 1), np.arange(4), Captions.of(["a", "b", "c", "d"]))
    for n, labels in ((2, [0, 2]), (4, [0, 1, 2, 3]), (6, [0, 0, 1, 2, 2, 3]), (None, [0, 1, 2, 3])):
        conditions = replace(EVERY_2, images=n).conditions(rows)
        assert conditions.labels.tolist() == labels
        assert conditions.captions.texts() == ["abcd"[label] for label in labels]


def test_a_look_whose_images_are_not_finite_is_passed_over_and_a_fit_of_such_looks_alone_diverges() -> None:
    def broken(_: Samples) -> float:
        raise Diverged("3 samples are not finite")

    with pytest.raises(Diverged, match="no loss on the validation rows was a finite number"):
        fitted("ddim", 3, broken, selection=EVERY_2)
    scores = iter([math.nan, 1.0])
    assert same(fitted("ddim", 3, lambda _: next(scores), selection=EVERY_2).weights(), fitted("ddim", 3).weights())


def test_the_looks_of_a_fit_that_was_stopped_are_those_of_one_that_was_not(tmp_path: Path) -> None:
    class Ending(Silent):
        def glance(self, glance: Glance) -> None:
            if glance.step == 7:
                raise KeyboardInterrupt

    def begun() -> Diffusion:
        model = small("ddpm", selection=EVERY_2)
        model.validate_on(VALIDATION)
        model.judge_by(kid)
        return model

    kept = Checkpointing(tmp_path / "fit.safetensors", "a" * 32, 1e-9)  # after every step
    with pytest.raises(KeyboardInterrupt):
        begun().fit(TRAIN, Budget(7, 8), place(), Ending(), kept)
    assert kept.path.exists()
    models = [begun(), begun()]
    models[0].fit(TRAIN, Budget(7, 8), place(), Silent(), kept)
    models[1].fit(TRAIN, Budget(7, 8), place(), Silent())
    assert [step for step, _ in models[0].looks] == [2, 4, 6, 7]
    assert models[0].looks == models[1].looks
    assert same(models[0].weights(), models[1].weights())


def test_a_fit_without_steps_keeps_the_weights_that_it_starts_from() -> None:
    start = weights_of(small("ddim"))
    assert same(fitted("ddim", 0, selection=EVERY_2).weights(), start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 9}, r"model\.selection\.every=null keeps the last ones; give model\.selection\.every, or"),
        ({"features": "pixels"}, r"model\.selection\.features=pixels says how weights are chosen"),
        ({"every": 5}, r"no feature space is named .*; give model\.selection\.features"),
    ],
)
def test_settings_of_looks_that_contradict_each_other_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Selection(**arguments)


def test_steps_that_the_sampler_cannot_take_are_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"refuses 5000 steps"):
        small("ddpm", selection=replace(EVERY_2, steps=5000))


def test_weights_of_a_middle_step_cannot_go_on_with_the_moments_of_the_last() -> None:
    small("ddpm", finetune_state="kept")
    with pytest.raises(UserError, match=r"every=2 may keep weights from the middle .*finetune_state=reset"):
        small("ddpm", selection=EVERY_2, finetune_state="kept")
