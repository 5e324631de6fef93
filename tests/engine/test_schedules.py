"""What changes over the generations: an argument that acts after training, given as a value per generation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from collapse_lab.cli import app
from collapse_lab.config import schema
from collapse_lab.config.building import build
from collapse_lab.engine.lab import Lab
from collapse_lab.errors import UserError
from tests.standins import Chain


def lab(*overrides: str) -> Lab:
    with initialize_config_dir(str(app.CONF), version_base="1.3"):
        cfg = compose("config", ["device=cpu", *overrides])
    return build(cfg, schema.read_root(cfg))


def test_each_generation_samples_with_its_own_value_and_the_last_holds_on(tmp_path: Path) -> None:
    plain, changing = Chain(tmp_path / "a"), Chain(tmp_path / "b", schedules={"spread": [0.9, 0.0]})
    changing.store.open()
    constant, scheduled = plain.plan(), changing.plan()
    assert scheduled[0][0].fit.key == constant[0][0].fit.key
    assert scheduled[0][0].samples["all"].key == constant[0][0].samples["all"].key
    assert scheduled[1][0].samples["all"].key != constant[1][0].samples["all"].key
    for generation, spread in enumerate([True, False, False, False]):
        data = scheduled[generation][0].samples["all"].value().tensors["data"]
        assert bool((data != data[:1]).any()) is spread, generation


def test_a_schedule_on_the_command_line() -> None:
    part = lab("+experiment=nepotistic", "model.guidance_scale={by_generation: [1, 2, 4]}").models[0]
    assert [part.sample_identity(g)["guidance_scale"] for g in range(5)] == [1, 2, 4, 4, 4]
    assert part.fit_identity == lab("+experiment=nepotistic").models[0].fit_identity


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.prompt_dropout={by_generation: [0.1, 0.2]}", "what acts after training: guidance"),
        ("model.guidance_scale={by_generation: []}", "one per generation"),
        ("model.guidance_scale={by_generation: [1, much]}", "takes float; got 'much'"),
        ("model.guidance_scale={by_generatoin: [1, 2]}", "guidance_scale"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(override: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        lab("+experiment=nepotistic", override)
