"""Samples that start from pictures; diffusers' own image-to-image pipelines are the second witness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, DPMSolverMultistepScheduler

from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Conditions
from tests.models.cases import conditions, draw, place
from tests.models.test_stable_diffusion import LATENT, exact, rows, sd

TEXTS = ["a hand", "a ten", "a hand"]
STEPS = 8


def wanted() -> Conditions:
    return replace(conditions(TEXTS), context=rows(3).data)


def model(folder: Path, **changes: Any) -> Any:
    settings = {"guidance_scale": 3.0, "pixels": Pixels(stored="float32")}
    return sd(folder, **(settings | {"sampler": Sampler("DPMSolverMultistepScheduler", STEPS)} | changes))


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.9])
@pytest.mark.parametrize(("kind", "own"), [("1.x", True), ("1.x", False), ("2.x", True), ("xl", False), ("xl", True)])
def test_samples_are_those_of_diffusers_image_to_image(
    folders: dict[str, Path], kind: str, own: bool, strength: float
) -> None:
    ours = model(folders[kind], strength=strength, own_scheduler=own)
    pipe = AutoPipelineForImage2Image.from_pretrained(folders[kind])
    pipe.set_progress_bar_config(disable=True)
    if not own:
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    theirs = pipe(
        TEXTS,
        image=ours.encoded(rows(3).data).detach(),  # latents, because the pipeline draws around the VAE's mean
        strength=strength,
        guidance_scale=3.0,
        num_inference_steps=STEPS,
        generator=place(role="sample/all").torch(),
        output_type="pt",
    ).images
    drawn = (exact(ours, wanted()) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(drawn, theirs, rtol=0, atol=1e-5)


def test_the_noise_of_the_first_step_is_as_strong_as_the_step_asks(folders: dict[str, Path]) -> None:
    seen: list[torch.Tensor] = []
    drawing = model(folders["1.x"], strength=0.25, guidance_scale=1.0, sampler=Sampler("DDIMScheduler", STEPS))
    drawing.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    exact(drawing, wanted())
    times = drawing.sampler.prepared(drawing.noising.config).timesteps[-2:]
    assert len(seen) == len(times)  # a quarter of eight
    kept = drawing.noising.scheduler.alphas_cumprod[times[0]]
    noise = torch.randn(3, *LATENT, generator=place(role="sample/all").torch())
    expected = kept.sqrt() * drawing.encoded(rows(3).data) + (1 - kept).sqrt() * noise
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-5)


def test_full_strength_and_no_picture_are_text_to_image(folders: dict[str, Path]) -> None:
    plain = exact(model(folders["1.x"]), conditions(TEXTS))
    assert torch.equal(exact(model(folders["1.x"]), wanted()), plain)
    assert torch.equal(exact(model(folders["1.x"], strength=0.5), conditions(TEXTS)), plain)
    assert not torch.equal(exact(model(folders["1.x"], strength=0.5), wanted()), plain)


def test_less_strength_keeps_more_of_the_picture(folders: dict[str, Path]) -> None:
    # Because a tiny VAE with random weights does not give pictures back, compare with what it makes of them
    drawing = model(folders["1.x"])
    target = drawing.decoded(drawing.encoded(rows(3).data)).detach()
    distances = [
        float((exact(model(folders["1.x"], strength=s, guidance_scale=1.0), wanted()) - target).square().mean())
        for s in (0.125, 0.5, 1.0)
    ]
    assert distances == sorted(distances)


def test_every_step_is_counted(folders: dict[str, Path]) -> None:
    class Counted(Silent):
        total = 0

        def advance(self, steps: int = 1) -> None:
            self.total += steps

    for strength in (0.25, 1.0):
        drawing, progress = model(folders["1.x"], strength=strength), Counted()
        drawing.sample(wanted(), place(role="sample/all"), progress)
        assert progress.total == drawing.sampling_steps(3) == 3 * STEPS


def test_a_batch_takes_the_pictures_of_its_own_conditions(folders: dict[str, Path]) -> None:
    whole, parts = (exact(model(folders["1.x"], strength=0.5, sampling_batch=n), wanted()) for n in (3, 1))
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    other = replace(wanted(), context=rows(3).data.flip(0))
    swapped = exact(model(folders["1.x"], strength=0.5), other)
    assert torch.allclose(swapped[1], whole[1], rtol=0, atol=1e-5)
    assert not torch.allclose(swapped[0], whole[0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("strength", [0.0, 0.12])
def test_a_strength_without_a_step_is_refused(folders: dict[str, Path], strength: float) -> None:
    with pytest.raises(UserError, match=f"model.strength={strength} of model.sampler.steps={STEPS} leaves no step"):
        model(folders["1.x"], strength=strength)


def test_stored_samples_are_bytes(folders: dict[str, Path]) -> None:
    drawn = draw(sd(folders["1.x"], strength=0.5), wanted())
    assert drawn.data.dtype == torch.uint8
    assert np.array_equal(drawn.labels, wanted().labels)
