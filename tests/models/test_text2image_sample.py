from __future__ import annotations

from typing import Any

import pytest
import torch

from collapse_lab.engine.payloads import samples_of, samples_to_payload
from collapse_lab.engine.silent import Silent
from collapse_lab.images import as_float
from collapse_lab.models.text2image import Text2Image
from collapse_lab.nn import pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.storage.store import Payload
from collapse_lab.types import Conditions
from tests.models.cases import (
    DATA,
    QUIET,
    budget,
    conditions,
    draw,
    levels,
    loaded,
    place,
    prompts,
    same,
    tiny,
    weights,
)


def test_a_loaded_model_samples_the_same() -> None:
    model = tiny()
    model.load(weights())
    again = tiny()
    again.load({name: value.clone() for name, value in model.weights().items()})
    assert same(again.weights(), model.weights())
    assert torch.equal(draw(again).data, draw(model).data)
    assert not torch.equal(draw(tiny()).data, draw(model).data)


def test_samples_carry_the_requested_conditions() -> None:
    wanted = prompts(7)
    samples = draw(loaded(), wanted)
    assert samples.data.shape == (7, *DATA.spec.shape)
    assert samples.data.dtype == torch.uint8
    assert (samples.labels == wanted.labels).all()
    assert samples.captions.texts() == wanted.captions.texts()


def test_samples_are_read_back_from_a_payload() -> None:
    samples = draw(loaded())
    payload = samples_to_payload(samples)
    back = samples_of(Payload(payload.tensors, payload.meta))
    assert torch.equal(back.data, samples.data)
    assert (back.labels == samples.labels).all()
    assert back.captions.texts() == samples.captions.texts()


def test_equal_places_give_equal_samples_and_other_places_give_others() -> None:
    model = loaded()
    one = draw(model).data
    torch.manual_seed(5)
    assert torch.equal(draw(model).data, one)
    assert not torch.equal(draw(model, generation=1).data, one)


def test_samples_do_not_depend_on_the_batch_size() -> None:
    # Rounding inside the network may differ with the batch size
    one_batch, small_batches = draw(loaded(sampling_batch=256)).data, draw(loaded(sampling_batch=2)).data
    assert levels(one_batch, small_batches) <= 1


def test_samples_depend_on_the_prompt() -> None:
    model = loaded(guidance_scale=4.0)
    one, other = (draw(model, conditions([DATA.spec.vocabulary[i]] * 3)).data for i in (0, 1))
    assert not torch.equal(one, other)


def calls(model: Any, wanted: Conditions) -> list[Any]:
    """Return (rows, text states) of every call of the U-Net while sampling."""
    seen: list[Any] = []
    hook = model.unet.register_forward_pre_hook(lambda _, args: seen.append((len(args[0]), args[2].clone())))
    draw(model, wanted)
    hook.remove()
    return seen


def test_guidance_predicts_with_and_without_the_prompt_in_one_batch() -> None:
    model = loaded(guidance_scale=3.0)
    seen = calls(model, prompts(5))
    assert [rows for rows, _ in seen] == [10] * 4
    texts = prompts(5).captions.texts()
    with torch.no_grad():
        expected = model.text(model.tokenize([*texts, *[""] * 5]))
    torch.testing.assert_close(seen[0][1], expected, rtol=1e-5, atol=1e-6)


def test_a_guidance_of_one_predicts_with_the_prompt_only() -> None:
    assert [rows for rows, _ in calls(loaded(guidance_scale=1.0), prompts(5))] == [5] * 4
    # Guidance is continuous at 1
    exact, nearly = (draw(loaded(guidance_scale=w)).data for w in (1.0, 1.0 + 1e-6))
    assert levels(exact, nearly) <= 1


def test_a_guidance_of_zero_samples_without_the_prompt() -> None:
    free, empty = draw(loaded(guidance_scale=0.0)), draw(loaded(guidance_scale=1.0), conditions([""] * 5))
    assert levels(free.data, empty.data) <= 1


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "DDPMScheduler", "EulerDiscreteScheduler"])
def test_other_schedulers_sample_reproducibly(scheduler: str) -> None:
    model = loaded(sampler=Sampler(scheduler, 6))
    one = draw(model).data
    assert torch.equal(draw(model).data, one)
    assert one.float().std() > 0


class Counted(Silent):
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


@pytest.mark.parametrize("batch", [2, 256])
def test_sampling_reports_the_announced_number_of_steps(batch: int) -> None:
    model, counted = loaded(sampling_batch=batch), Counted()
    model.sample(prompts(5), place(role="sample/all"), counted)
    assert counted.steps == model.sampling_steps(5)


def test_arguments_that_act_after_training_leave_the_weights_alone() -> None:
    changed: dict[str, Any] = {
        "guidance_scale": 7.0,
        "guidance_interval": (0.2, 0.6),
        "sampler": Sampler(steps=9),
        "sampling_batch": 3,
    }
    assert changed.keys() == Text2Image.sampling_only
    model = tiny(**changed)
    model.fit(DATA.load().train, budget(), place(), QUIET)
    assert same(model.weights(), weights())


@pytest.mark.gpu
def test_a_gpu_samples_what_the_cpu_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    # A convolution in TF32 has three digits, so switch TF32 off; compare the floats before they are quantised
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(pixels, "as_uint8", as_float)
    cpu = draw(loaded(), prompts(20)).data
    gpu = draw(loaded().to("cuda"), prompts(20)).data
    torch.testing.assert_close(gpu, cpu, rtol=0, atol=1e-3)
