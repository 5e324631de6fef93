"""Check what a fit from the previous generation's weights is told, and which keys depend on it."""

from __future__ import annotations

import pytest

from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent

LINE = ("+experiment=nepotistic", "+scale=tiny", "generations=1", "features=[pixels]", "metrics=[fid]", "device=cpu")
TEXT2IMAGE = ("model.freeze=[]", "model.optimisation.finetune_lr=null")
PLAIN = {
    "text2image": TEXT2IMAGE,
    "ddpm": ("model=ddpm", "model.optimisation.finetune_lr=null"),
    "vae": ("model=vae", "model.optimisation.finetune_lr=null"),
}


def fits(*overrides: str) -> list[str]:
    """Return the keys of the fits of a chain of two generations."""
    lab = build(compose(*LINE, "sinks=[]", *overrides).cfg, Alone())
    return [steps[0].fit.key for steps in lay_out(lab, Silent()).plan]


@pytest.mark.parametrize("family", list(PLAIN))
def test_the_learning_rate_of_fine_tuning_changes_the_key_of_warm_fits_alone(family: str) -> None:
    plain = PLAIN[family]
    (first, second), (slow_first, slow_second) = fits(*plain), fits(*plain[:-1], "model.optimisation.finetune_lr=2e-4")
    assert first == slow_first
    assert second != slow_second


def test_frozen_parts_change_the_key_of_warm_fits_alone() -> None:
    (first, second), (frozen_first, frozen_second) = fits(*TEXT2IMAGE), fits("model.optimisation.finetune_lr=null")
    assert first == frozen_first
    assert second != frozen_second


def test_without_warm_fits_no_key_depends_on_what_acts_in_them() -> None:
    assert fits("population.lineage=scratch") == fits("population.lineage=scratch", *TEXT2IMAGE)


def test_the_learning_rate_of_generation_0_still_changes_its_key() -> None:
    assert fits()[0] != fits("model.optimisation.lr=2e-3")[0]


@pytest.mark.parametrize("warm", [False, True])
def test_a_budget_says_whether_the_fit_is_warm(warm: bool) -> None:
    budget = Training(steps=9, batch_size=4, finetune_steps=3).budget(warm, 100, "cpu")
    assert (budget.warm, budget.steps) == (warm, 3 if warm else 9)
