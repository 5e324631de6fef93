from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from collapse_lab.errors import UserError
from collapse_lab.models.ddpm import DDPM
from collapse_lab.nn import pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Conditions, Samples, Spec
from tests.models.cases import DATA, QUIET, budget, draw, levels, place, prompts, same, tiny_ddpm

STEPS = 4


@pytest.fixture
def unquantised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Return samples as they are computed, in float64.

    A network that has learnt nothing magnifies rounding errors, so in float32 samples depend on the CPU's kernels.
    """
    monkeypatch.setattr(pixels, "as_uint8", lambda images: images)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def calls(model: DDPM, wanted: Conditions) -> list[tuple[float, list[int]]]:
    """Return (time, classes) of every call of the U-Net while sampling."""
    seen: list[Any] = []
    hook = model.unet.register_forward_pre_hook(lambda _, args: seen.append((float(args[1]), args[2].tolist())))
    draw(model, wanted)
    hook.remove()
    return seen


def by_hand(model: DDPM, wanted: Conditions, scale: float) -> torch.Tensor:
    """Sample by diffusers' scheduler in the plain loop: two calls a step, or one where there is no guidance."""
    scheduler = model.sampler.prepared(model.noising.config)
    generator = place(0, "sample/all").torch()
    x = torch.randn(len(wanted), *model.spec.shape, generator=generator)
    labels, none = torch.from_numpy(wanted.labels), torch.full((len(wanted),), 10)
    model.eval()
    with torch.no_grad():
        for t in scheduler.timesteps:
            predicted = model.unet(x, t, labels).sample
            if scale != 1:
                free = model.unet(x, t, none).sample
                predicted = free + scale * (predicted - free)
            x = scheduler.step(predicted, t, x).prev_sample
    return x


@pytest.mark.usefixtures("unquantised")
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_samples_are_those_of_the_plain_loop(scheduler: str, scale: float) -> None:
    model, wanted = tiny_ddpm(guidance_scale=scale, sampler=Sampler(scheduler, STEPS)), prompts(7)
    images = draw(model, wanted).data
    assert images.dtype == torch.float64
    torch.testing.assert_close(images, by_hand(model, wanted, scale), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("unquantised")
def test_guidance_of_one_is_the_conditional_model() -> None:
    wanted = prompts(7)
    assert torch.equal(draw(tiny_ddpm(guidance_scale=1.0), wanted).data, by_hand(tiny_ddpm(), wanted, 1.0))


def test_guidance_predicts_with_and_without_the_class_in_one_batch() -> None:
    wanted = prompts(5)
    assert [classes for _, classes in calls(tiny_ddpm(), wanted)] == [[*range(5), *[10] * 5]] * STEPS
    assert [classes for _, classes in calls(tiny_ddpm(guidance_scale=1.0), wanted)] == [[*range(5)]] * STEPS


def test_outside_its_interval_guidance_is_off_and_there_is_one_prediction() -> None:
    sampler = Sampler(steps=8, options={"timestep_spacing": "trailing"})
    seen = calls(tiny_ddpm(sampler=sampler, guidance_interval=(0.3, 0.7)), prompts(5))
    assert [t for t, _ in seen] == [399, 349, 299, 249, 199, 149, 99, 49]
    assert [len(classes) for _, classes in seen] == [5, 5, 5, 10, 10, 10, 5, 5]


def test_a_full_interval_guides_everywhere_and_an_empty_one_nowhere() -> None:
    everywhere, plain = draw(tiny_ddpm(guidance_interval=(0.0, 1.0))).data, draw(tiny_ddpm()).data
    assert torch.equal(everywhere, plain)
    # No step of this sampler lies in this interval
    nowhere = draw(tiny_ddpm(guidance_scale=5.0, guidance_interval=(0.999, 1.0))).data
    assert torch.equal(nowhere, draw(tiny_ddpm(guidance_scale=1.0)).data)
    assert levels(nowhere, plain) > 0


def test_labels_are_dropped_at_their_share_while_training() -> None:
    model = tiny_ddpm(label_dropout=0.25)
    dropped = model.drop(torch.zeros(4000, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert set(dropped.tolist()) == {0, 10}
    assert abs(float((dropped == 10).float().mean()) - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert not tiny_ddpm(label_dropout=0.0).drop(torch.zeros(50, dtype=torch.int64), torch.Generator()).any()


def test_arguments_that_act_after_training_leave_the_weights_alone() -> None:
    changed: dict[str, Any] = {
        "guidance_scale": 7.0,
        "guidance_interval": (0.2, 0.6),
        "sampler": Sampler(steps=9),
        "sampling_batch": 3,
    }
    assert changed.keys() == DDPM.sampling_only
    one, other = tiny_ddpm(), tiny_ddpm(**changed)
    for model in (one, other):
        model.fit(DATA.load().train, budget(3), place(), QUIET)
    assert same(one.weights(), other.weights())


def test_pretrained_weights_are_read(tmp_path: Path) -> None:
    model = tiny_ddpm()
    model.fit(DATA.load().train, budget(2), place(), QUIET)
    save_file(dict(model.weights()), tmp_path / "tensors.safetensors")
    assert same(tiny_ddpm(pretrained=str(tmp_path)).weights(), model.weights())


def test_a_data_set_without_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"conditioned on labels and this data set has none.*model=ddim"):
        tiny_ddpm(Spec("image", (1, 8, 8), (), ("a",)))


def test_rows_and_prompts_without_a_label_are_refused() -> None:
    rows = DATA.load().train
    unlabelled = Samples(rows.data, np.where(np.arange(len(rows)) < 3, -1, rows.labels), rows.captions)
    with pytest.raises(UserError, match=f"3 of {len(rows)} rows or prompts have none of the 10 classes"):
        tiny_ddpm().fit(unlabelled, budget(1), place(), QUIET)
    with pytest.raises(UserError, match="1 of 2 rows or prompts"):
        draw(tiny_ddpm(), Conditions(np.array([3, 10]), Captions()))
