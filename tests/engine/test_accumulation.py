"""The rows of a step in parts: the same gradient, the same steps, and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from collapse_lab import compose, prepare
from collapse_lab.engine import lightning
from collapse_lab.engine.fitting import Parts, RandomRows, Training
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.types import Budget
from tests.models import test_causal_lm as texts
from tests.models.cases import QUIET, budget, place, tiny
from tests.models.test_objectives import shades

STEPS, BATCH = 7, 16


class Line(pl.LightningModule):
    """Fit y = x w + b by the mean squared error, and keep the number of rows of each call."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(50, 3, generator=generator)
        self.y = torch.randn(50, 1, generator=generator)
        self.net = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.net.weight.copy_(torch.ones(1, 3))
            self.net.bias.zero_()
        self.rows: list[int] = []

    def training_step(self, rows: Tensor) -> Tensor:
        self.rows.append(len(rows))
        return torch.nn.functional.mse_loss(self.net(self.x[rows]), self.y[rows])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)


class Counted(Silent):
    """Count the steps that are reported."""

    total = 0

    def advance(self, steps: int = 1) -> None:
        self.total += steps


def fitted(accumulate: int, **changes: Any) -> tuple[Line, Counted]:
    module, progress = Line(), Counted()
    wanted = Budget(STEPS, BATCH, accumulate=accumulate, **changes)
    lightning.fit(module, RandomRows(50, wanted, place()), wanted, progress)
    return module, progress


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("parts", [2, 4, 16])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(parts: int, clip: float | None) -> None:
    whole, _ = fitted(1, gradient_clip=clip)
    module, progress = fitted(parts, gradient_clip=clip)
    assert module.rows == [BATCH // parts] * STEPS * parts
    assert progress.total == STEPS
    for ours, theirs in zip(module.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_steps_are_those_of_plain_gradient_descent() -> None:
    # Written out: the gradient of the mean over all rows of each step, velocity 0.9
    wanted = Budget(STEPS, BATCH, gradient_clip=None)
    line = Line()
    w = torch.cat([torch.ones(3), torch.zeros(1)]).double()
    velocity = torch.zeros(4, dtype=torch.float64)
    design = torch.cat([line.x, torch.ones(50, 1)], 1).double()
    for rows in RandomRows(50, wanted, place()):
        error = design[rows] @ w - line.y[rows, 0].double()
        velocity = 0.9 * velocity + 2 * design[rows].T @ error / BATCH
        w = w - 0.1 * velocity
    module, _ = fitted(4, gradient_clip=None)
    ours = torch.cat([module.net.weight[0], module.net.bias]).double()
    torch.testing.assert_close(ours, w, rtol=1e-5, atol=1e-6)


def test_parts_are_the_batches_in_their_order() -> None:
    batches: Sequence[Tensor] = torch.arange(24).view(3, 8).unbind()
    parts = Parts(batches, 4)
    assert len(parts) == 12
    assert torch.equal(torch.cat(list(parts)), torch.arange(24))
    assert [len(part) for part in parts] == [2] * 12


def test_the_moving_average_moves_once_a_step() -> None:
    steps = []
    model = tiny()
    model.begin(shades(), budget(0), place())
    average = model.optimisation.average(model.parameters())
    move = average.step

    def counted(parameters: Any) -> None:
        steps.append(1)
        move(parameters)

    average.step = counted
    model._average = average
    wanted = budget(steps=3, batch_size=8, accumulate=4)
    lightning.fit(model, RandomRows(32, wanted, place()), wanted, QUIET)
    assert len(steps) == 3


def test_the_best_weights_are_looked_for_after_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    model = texts.built(selection="best", validate_every=2)
    model.validate_on(texts.counting(8))
    loss = model._validation_loss

    def looked() -> float:
        looks.append(1)
        return loss()

    monkeypatch.setattr(model, "_validation_loss", looked)
    model.fit(texts.counting(20), budget(steps=5, batch_size=8, accumulate=2), place(), QUIET)
    assert len(looks) == 3  # after the steps 2, 4 and 5


def test_parts_that_do_not_divide_a_batch_are_refused() -> None:
    message = r"trainer.accumulate=3 divides .* trainer.batch_size=16 cannot .* give batch_size=18, or another"
    with pytest.raises(UserError, match=message):
        Training(steps=1, batch_size=16, accumulate=3).budget(False, 10, "cpu")


def test_a_family_without_optimiser_steps_refuses_parts() -> None:
    line = ["+experiment=recursive_gaussian", "+scale=tiny", "trainer.accumulate=2", "trainer.batch_size=2"]
    with pytest.raises(UserError, match=r"trainer.accumulate=2 computes .* give trainer.accumulate=1"):
        prepare(compose(*line))


def test_parts_of_one_change_no_key() -> None:
    line = ["+experiment=nepotistic", "+scale=tiny", "generations=0", "trainer.batch_size=16", "device=cpu"]
    keys = [
        prepare(compose(*line, *more)).plan.steps[0].fit
        for more in ([], ["trainer.accumulate=1"], ["trainer.accumulate=2"])
    ]
    assert keys[0] == keys[1] != keys[2]
