"""Check schedules: an argument that acts after training, given as a value for each generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.lab import Lab
from collapse_lab.errors import UserError
from tests.standins import Chain


def lab(*overrides: str) -> Lab:
    return build(compose("device=cpu", *overrides).cfg, Alone())


def test_each_generation_samples_with_its_own_value_and_the_last_value_is_kept(tmp_path: Path) -> None:
    plain, changing = Chain(tmp_path / "a"), Chain(tmp_path / "b", schedules={"spread": [0.9, 0.0]})
    changing.store.open()
    constant, scheduled = plain.plan(), changing.plan()
    assert scheduled[0][0].fit.key == constant[0][0].fit.key
    assert scheduled[0][0].samples["all"].key == constant[0][0].samples["all"].key
    assert scheduled[1][0].samples["all"].key != constant[1][0].samples["all"].key
    for generation, spread in enumerate([True, False, False, False]):
        data = scheduled[generation][0].samples["all"].value().tensors["data"]
        assert bool((data != data[:1]).any()) is spread, generation


def test_a_schedule_may_be_given_on_the_command_line_and_changes_no_fit() -> None:
    scheduled = lab("+experiment=nepotistic", "model.guidance_scale={by_generation: [3, 2, 4]}")
    model, spec = scheduled.models[0], scheduled.dataset.spec
    # 2 is the default, which an identity leaves out
    assert [model.sampling_arguments(g).get("guidance_scale") for g in range(5)] == [3, None, 4, 4, 4]
    built: list[Any] = [model.build(spec, g) for g in range(5)]
    assert [each.guidance_scale for each in built] == [3, 2, 4, 4, 4]
    assert model.fit_identity == lab("+experiment=nepotistic").models[0].fit_identity


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.prompt_dropout={by_generation: [0.1, 0.2]}", "what acts after training: guidance"),
        ("model.guidance_scale={by_generation: []}", "one per generation"),
        ("model.guidance_scale={by_generation: [1, much]}", "takes float; got 'much'"),
        ("model.guidance_scale={by_generatoin: [1, 2]}", "guidance_scale"),
    ],
)
def test_an_impossible_schedule_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lab("+experiment=nepotistic", override)
