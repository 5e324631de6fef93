"""How settings are named for a reader."""

from __future__ import annotations

import pytest

from collapse_lab.results.settings import ABSENT, labelled, short


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        ("model.guidance_scale", "guidance_scale"),
        ("model.guidance_scale.by_generation", "guidance_scale by generation"),
        ("n_train.exponent", "n_train exponent"),
        ("mixing._target_", "mixing"),
        ("first", "first"),
    ],
)
def test_a_schedule_keeps_the_name_of_what_it_schedules(knob: str, said: str) -> None:
    assert short(knob) == said


def test_the_values_of_a_schedule_are_a_list_in_a_label() -> None:
    knobs = {"model.guidance_scale": ABSENT, "model.guidance_scale.by_generation": [1.0, 2.5, 4]}
    assert labelled(knobs) == "no guidance_scale, guidance_scale by generation 1, 2.5, 4"
