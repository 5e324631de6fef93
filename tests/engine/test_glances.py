"""What a fit shows of itself: at which steps, and that the numbers are those of the fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from collapse_lab.engine import lightning
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.engine.silent import Silent
from collapse_lab.packing.everyone import Everyone
from collapse_lab.packing.stack import fit_together
from collapse_lab.types import Budget, Glance
from tests.engine.test_accumulation import Line
from tests.models import test_causal_lm as texts
from tests.models.cases import budget, place
from tests.packing.cases import fit


class Looking(Silent):
    """Keep the glances."""

    def __init__(self) -> None:
        self.seen: list[Glance] = []

    def glance(self, glance: Glance) -> None:
        self.seen.append(glance)


@pytest.mark.parametrize("parts", [1, 4])
def test_a_fit_shows_its_first_step_every_25th_after_it_and_its_last(parts: int) -> None:
    module, looking, training = Line(), Looking(), Budget(53, 16, accumulate=parts)
    batch = next(iter(RandomRows(50, training, place())))[-16 // parts :]
    loss = torch.nn.functional.mse_loss(module.net(module.x[batch]), module.y[batch])
    lightning.fit(module, RandomRows(50, training, place()), training, looking)
    assert [glance.step for glance in looking.seen] == [1, 26, 51, 53]
    assert {(g.learning_rate, g.size, g.unit, g.memory) for g in looking.seen} == {(0.1, 16, "rows", None)}
    assert looking.seen[0].loss == pytest.approx(loss.item(), rel=1e-6)


def test_the_size_of_a_step_counts_images_or_tokens() -> None:
    images, tokens = Looking(), Looking()
    request = fit("ddim", 0, budget(steps=1))
    request.model.fit(request.data, request.budget, request.seeds, images)
    assert [(glance.size, glance.unit) for glance in images.seen] == [(8, "images")]
    model = texts.built()
    model.fit(texts.counting(), budget(steps=1), place(), tokens)
    assert [(glance.size, glance.unit) for glance in tokens.seen] == [(8 * texts.spec().shape[0], "tokens")]


def test_each_member_of_a_pack_sees_its_own_loss_and_no_loss_after_it_diverged() -> None:
    requests = [fit("ddim", seed, budget(steps=2)) for seed in range(3)]
    torch.nn.init.constant_(requests[2].model.unet.conv_out.bias, float("nan"))  # type: ignore[attr-defined]
    alone, packed = [Looking(), Looking()], [Looking(), Looking(), Looking()]
    for seed, looking in enumerate(alone):
        one = fit("ddim", seed, budget(steps=2))
        one.model.fit(one.data, one.budget, one.seeds, looking)
    fit_together([replace(request, progress=own) for request, own in zip(requests, packed, strict=True)])
    for own, other in zip(packed, alone, strict=False):
        assert [(g.step, g.size, g.unit) for g in own.seen] == [(1, 8, "images"), (2, 8, "images")]
        assert [g.loss for g in own.seen] == pytest.approx([g.loss for g in other.seen], rel=1e-4)
    assert packed[2].seen == []


def test_a_progress_that_wants_no_glance_is_left_in_peace() -> None:
    looking = Looking()
    glance = Glance(1, 0.5, 0.1, 8, "rows")
    Everyone([Silent(), looking]).glance(glance)
    assert looking.seen == [glance]
