from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from collapse_lab.errors import UserError
from collapse_lab.nn.optimisation import Decay, Optimisation
from collapse_lab.types import Budget

SETTINGS = Optimisation(lr=0.1, lr_schedule="cosine", weight_decay=0.02, warmup=0.1, ema_decay=0.9)
FRESH, WARM = (Budget(steps=20, batch_size=8, warm=warm) for warm in (False, True))


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ("cosine", lambda k: (1 + math.cos(math.pi * k)) / 2),
        ("linear", lambda k: 1 - k),
        ("constant", lambda k: 1.0),
    ],
)
def test_the_learning_rate_rises_linearly_and_then_follows_its_schedule(
    schedule: Decay, share: Callable[[float], float]
) -> None:
    layer = nn.Linear(2, 2)
    configured = replace(SETTINGS, lr_schedule=schedule).adamw(layer.parameters(), FRESH, fused=False)
    rates = []
    for _ in range(20):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0, 0.05, *(0.1 * share((step - 2) / 18) for step in range(2, 20))])


def test_a_constant_rate_without_warm_up_has_no_schedule() -> None:
    constant = replace(SETTINGS, lr_schedule="constant", warmup=0.0)
    assert constant.adamw(nn.Linear(2, 2).parameters(), FRESH, fused=False).keys() == {"optimizer"}


@pytest.mark.parametrize(
    ("finetune_lr", "budget", "rate"),
    [(None, FRESH, 0.1), (None, WARM, 0.1), (0.003, FRESH, 0.1), (0.003, WARM, 0.003)],
)
def test_only_a_warm_fit_takes_the_learning_rate_of_fine_tuning(
    finetune_lr: float | None, budget: Budget, rate: float
) -> None:
    settings = replace(SETTINGS, finetune_lr=finetune_lr, warmup=0.0, lr_schedule="constant")
    assert settings.rate(budget) == rate
    (group,) = settings.adamw(nn.Linear(2, 2).parameters(), budget, fused=False)["optimizer"].param_groups
    assert group["lr"] == rate


def test_the_optimiser_is_adamw_with_its_settings() -> None:
    optimiser = SETTINGS.adamw(nn.Linear(2, 2).parameters(), FRESH, betas=(0.9, 0.99), fused=True)["optimizer"]
    assert type(optimiser) is torch.optim.AdamW
    settings = optimiser.param_groups[0]
    assert (settings["weight_decay"], settings["betas"], settings["fused"]) == (0.02, (0.9, 0.99), True)


def test_the_average_forgets_the_start_and_then_decays_as_set() -> None:
    value = nn.Parameter(torch.zeros(1))
    average = SETTINGS.average([value])
    expected = 0.0
    for step in range(1, 200):
        value.data.fill_(step)
        average.step([value])
        decay = 0.0 if step == 1 else min(0.9, step / (9 + step))
        expected = decay * expected + (1 - decay) * step
    average.copy_to([value])
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_settings_with_or_without_an_average_are_refused_where_they_do_not_fit() -> None:
    without = replace(SETTINGS, ema_decay=None)
    SETTINGS.require_average("ddpm")
    without.refuse_average("vae")
    with pytest.raises(UserError, match=r"model=ddpm keeps a moving average .*ema_decay is null; give a number"):
        without.require_average("ddpm")
    with pytest.raises(
        UserError, match=r"model=vae keeps .*ema_decay is 0\.9; give model\.optimisation\.ema_decay=null"
    ):
        SETTINGS.refuse_average("vae")


@pytest.mark.parametrize(("rows", "batch", "epochs"), [(40, 8, 5), (20, 8, 4), (8, 8, 3)])
def test_a_rate_by_epochs_is_that_of_torch_stepped_at_the_end_of_each(rows: int, batch: int, epochs: int) -> None:
    settings = replace(SETTINGS, lr_schedule="cosine_epochs", warmup=0.0)
    steps = math.ceil(epochs * rows / batch)
    configured = settings.adamw(
        nn.Linear(2, 2).parameters(), Budget(steps=steps, batch_size=batch, rows=rows), fused=False
    )
    theirs = torch.optim.AdamW(nn.Linear(2, 2).parameters(), 0.1)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=epochs, eta_min=1e-6)
    for step in range(steps):
        assert configured["optimizer"].param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        for optimiser in (configured["optimizer"], theirs):
            optimiser.step()
        configured["lr_scheduler"]["scheduler"].step()
        if (step + 1) * batch // rows > step * batch // rows:
            annealing.step()
    assert configured["lr_scheduler"]["interval"] == "step"


def test_betas_of_the_settings_win_over_those_of_the_family() -> None:
    own = replace(SETTINGS, betas=[0.5, 0.75]).adamw(
        nn.Linear(2, 2).parameters(), FRESH, betas=(0.9, 0.99), fused=False
    )
    assert own["optimizer"].param_groups[0]["betas"] == (0.5, 0.75)
    with pytest.raises(UserError, match="betas is two numbers"):
        replace(SETTINGS, betas=[0.5])


def test_a_warm_fit_has_a_schedule_and_a_warm_up_of_its_own() -> None:
    settings = replace(SETTINGS, lr_schedule="constant", warmup=0.0, finetune_schedule="linear", finetune_warmup=0.5)
    rates = {}
    for budget in (FRESH, WARM):
        course = settings.course(budget)
        rates[budget.warm] = [course(step) for step in (0, 5, 10, 15, 20)]
    assert rates == {False: [1, 1, 1, 1, 1], True: [0, 0.5, 1, 0.5, 0]}
    assert settings.adamw(nn.Linear(2, 2).parameters(), FRESH, fused=False).keys() == {"optimizer"}


def test_a_warm_fit_without_a_schedule_of_its_own_takes_that_of_every_fit() -> None:
    cold, warm = SETTINGS.course(FRESH), SETTINGS.course(WARM)
    assert [cold(step) for step in range(21)] == [warm(step) for step in range(21)]
    risen = replace(SETTINGS, finetune_warmup=0.0)
    assert (risen.rising(FRESH), risen.rising(WARM)) == (2, 0)


def test_a_family_that_keeps_no_moments_says_so() -> None:
    SETTINGS.refuse_kept("vae")
    with pytest.raises(UserError, match=r"model=vae begins .*; give model\.optimisation\.finetune_state=reset$"):
        replace(SETTINGS, finetune_state="kept").refuse_kept("vae")
