"""Check, for every family that is trained by gradient descent, that a warm fit takes the rate of fine-tuning.

The first step of Adam is the learning rate, whatever the gradient: g / sqrt(g^2) = ±1. So the largest movement of a
weight in one step is the rate that was taken, without weight decay and up to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from collapse_lab.models.causal_lm import CausalLM
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.types import Samples
from tests.models.cases import DATA, FAMILIES, QUIET, budget, place, small
from tests.models.test_causal_lm import built, counting
from tests.models.test_vae import vae

LR, FINETUNE_LR = 1e-2, 1e-3


def settings(ema_decay: float | None) -> Optimisation:
    return Optimisation(
        lr=LR, finetune_lr=FINETUNE_LR, lr_schedule="constant", weight_decay=0.0, warmup=0.0, ema_decay=ema_decay
    )


def lm() -> CausalLM:
    return built(optimisation=settings(None))


MODELS: dict[str, Callable[[], Any]] = {
    **{family: partial(small, family, optimisation=settings(0.0)) for family in FAMILIES},
    "vae": partial(vae, optimisation=settings(None)),
    "causal_lm": lm,
}


@pytest.mark.parametrize("family", list(MODELS))
@pytest.mark.parametrize(("warm", "rate"), [(False, LR), (True, FINETUNE_LR)])
def test_the_first_step_of_a_fit_is_as_long_as_its_learning_rate(family: str, warm: bool, rate: float) -> None:
    model = MODELS[family]()
    rows: Samples = counting() if family == "causal_lm" else DATA.load().train
    before = {name: value.clone() for name, value in model.weights().items()}
    model.fit(rows, budget(steps=1, warm=warm, gradient_clip=None), place(), QUIET)
    moved = max(float((value - before[name]).abs().max()) for name, value in model.weights().items())
    assert moved == pytest.approx(rate, rel=1e-3)
