from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError
from collapse_lab.models.ddim import DDIM
from collapse_lab.nn import pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Conditions, Samples, Spec
from tests.models.cases import DATA, QUIET, budget, draw, place, prompts, tiny_ddim


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_are_those_of_diffusers_own_pipeline(eta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "as_uint8", lambda images: images)
    model = tiny_ddim(sampler=Sampler(steps=6, options={"eta": eta}))
    pipeline = diffusers.DDIMPipeline(model.unet, model.sampler.prepared(model.noising.config))
    pipeline.set_progress_bar_config(disable=True)
    generator = place(0, "sample/all").torch()
    theirs = pipeline(batch_size=5, generator=generator, eta=eta, num_inference_steps=6, output_type="np").images
    ours = (draw(model).data / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-5)


def test_eta_adds_noise_between_the_steps() -> None:
    trail = {"timestep_spacing": "trailing"}
    deterministic, by_default, noisy = (
        draw(tiny_ddim(sampler=Sampler(steps=6, options=trail | {"eta": eta}))).data for eta in (0.0, None, 1.0)
    )
    assert torch.equal(deterministic, by_default)
    assert not torch.equal(deterministic, noisy)


def test_samples_carry_their_conditions_and_do_not_depend_on_them() -> None:
    model, wanted = tiny_ddim(), prompts(5)
    other = Conditions(np.full(5, -1), Captions())
    samples = draw(model, wanted)
    assert samples.captions.texts() == wanted.captions.texts()
    assert torch.equal(samples.data, draw(model, other).data)


def test_ddim_needs_neither_labels_nor_captions() -> None:
    model = tiny_ddim(Spec("image", (1, 8, 8)))
    rows = DATA.load().train
    model.fit(Samples(rows.data, np.full(len(rows), -1)), budget(2), place(), QUIET)
    assert draw(model, Conditions(np.full(3, -1), Captions())).data.shape == (3, 1, 8, 8)


def test_ddim_has_no_guidance() -> None:
    node: dict[str, Any] = {"_target_": "collapse_lab.models.ddim.DDIM", "guidance_scale": 2.0}
    with pytest.raises(UserError, match=r"model\.guidance_scale: DDIM has no such argument"):
        bind(node, "model", frozenset({"spec"}))
    assert DDIM.sampling_only == {"sampler", "sampling_batch"}


def test_batches_that_do_not_fit_are_halved_and_the_samples_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "as_uint8", lambda images: images)
    model, rows = tiny_ddim(), []
    whole = draw(model).data
    predict = model.predict

    def small(x: torch.Tensor, t: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return predict(x, t, embedded)

    monkeypatch.setattr(model, "predict", small)
    torch.testing.assert_close(draw(model).data, whole, rtol=0, atol=1e-5)
    assert rows[:3] == [5, 3, 2]
    assert max(rows[2:]) == 2
    noisy = tiny_ddim(sampler=Sampler(steps=6, options={"eta": 1.0}))
    monkeypatch.setattr(noisy, "predict", small)
    with pytest.raises(UserError, match=r"too small to sample 5 rows at a time; lower model\.sampling_batch"):
        draw(noisy)


def test_a_fit_that_does_not_fit_into_the_memory_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_ddim()

    def full(*inputs: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model, "predict", full)
    with pytest.raises(UserError, match=r"too small to fit 4 rows at a time; raise trainer\.accumulate, .*batch_size"):
        model.fit(DATA.load().train, budget(batch_size=8, accumulate=2), place(), QUIET)
