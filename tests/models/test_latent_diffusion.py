"""The latent diffusion pipeline that is trained from scratch: autoencoder first, then U-Net and text encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from torch import Tensor

from collapse_lab.engine.fitting import RandomRows
from collapse_lab.errors import UserError
from collapse_lab.models.latent_diffusion import LatentDiffusion
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.autoencoder import Autoencoder
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Samples, Spec
from tests.models.cases import QUIET, budget, built, conditions, draw, place, same

TEXTS = ("a hand", "a ten of them")
SPEC = Spec("image", (3, 8, 8), ("hand", "ten"), TEXTS)
SMALL = Autoencoder(channels=(8, 8), norm_groups=4, share=0.5, batch_size=4)
N = 12


def ld(spec: Spec = SPEC, autoencoder: Autoencoder = SMALL, **changes: Any) -> LatentDiffusion:
    """Build the family at its smallest; settings of the optimisation may stand among the changes."""
    usual = {
        "autoencoder": autoencoder,
        "channels": (8, 16),
        "norm_groups": 4,
        "attention_head_dim": 2,
        "text_width": 16,
        "text_layers": 1,
        "text_heads": 2,
        "sampler": Sampler("DPMSolverMultistepScheduler", 4),
    }
    return built(LatentDiffusion, spec, usual | changes)


def rows(n: int = N) -> Samples:
    """Return noisy pictures, of which those of a hand are dark and those of a ten are bright."""
    labels = np.arange(n) % 2
    noise = torch.randint(0, 100, (n, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    data = (noise + 150 * torch.from_numpy(labels)[:, None, None, None]).to(torch.uint8)
    return Samples(data, labels, Captions.of([TEXTS[label] for label in labels]))


def fitted(start: LatentDiffusion | None = None, steps: int = 6, **changes: Any) -> LatentDiffusion:
    """Return a model after a cold fit, or after a warm one from the weights of `start`."""
    model = ld(**changes)
    if start is not None:
        model.load(start.weights())
    model.fit(rows(), budget(steps=steps, warm=start is not None), place(int(start is not None)), QUIET)
    return model


def parts(model: LatentDiffusion, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights of some parts."""
    return {name: value for name, value in model.weights().items() if name.split(".")[0] in names}


def errors(model: LatentDiffusion, data: Samples) -> tuple[float, float]:
    """Return the mean error of reconstructed pixels, and that of the U-Net over all times."""
    noise = torch.randn(len(data), *model.noise_shape, generator=place().torch())
    with torch.no_grad():
        pixels = (model.decoded(model.encoded(data.data)) - model.pixels.scaled(data.data)).abs().mean()
    return float(pixels), float(model.denoising_losses(data, torch.linspace(0, 0.99, len(data)), noise).mean())


def test_a_fit_lowers_both_losses() -> None:
    data, model = rows(16), ld(lr=1e-2, ema_decay=0.9)
    (pixels, _), trained = errors(model, data), ld(lr=1e-2, ema_decay=0.9)
    trained.fit(data, budget(steps=80, batch_size=16), place(), QUIET)
    after, denoising = errors(trained, data)
    assert after < 0.7 * pixels
    # The untrained U-Net behind the same autoencoder, on the same latents
    fresh = ld()
    fresh.load({**trained.weights(), **parts(fresh, ["unet", "text_encoder"])})
    assert denoising < 0.9 * errors(fresh, data)[1]


def test_generation_0_trains_every_part_and_later_ones_the_unet_alone() -> None:
    fresh, first = ld(), fitted()
    assert {name.split(".")[0] for name in first.weights()} == {"vae", "text_encoder", "unet", "latent_scale"}
    for part in ("vae", "text_encoder", "unet"):
        assert not same(parts(first, [part]), parts(fresh, [part]))
    second = fitted(first)
    frozen = ["vae", "text_encoder", "latent_scale"]
    assert same(parts(second, frozen), parts(first, frozen))
    assert not same(parts(second, ["unet"]), parts(first, ["unet"]))


def test_the_phases_train_their_own_parts_alone() -> None:
    begun, halfway = ld(), fitted(steps=3, autoencoder=replace(SMALL, share=0.9))  # two steps, and one of the U-Net
    assert same(parts(fitted(steps=3, autoencoder=replace(SMALL, share=0.0)), ["vae"]), parts(begun, ["vae"]))
    assert not same(parts(halfway, ["vae"]), parts(begun, ["vae"]))
    longer = fitted(steps=6, autoencoder=replace(SMALL, share=1 / 3), lr_schedule="constant", warmup=0.0)
    other = fitted(steps=4, autoencoder=replace(SMALL, share=0.5), lr_schedule="constant", warmup=0.0)
    assert same(parts(longer, ["vae"]), parts(other, ["vae"]))  # two steps of the autoencoder in both


def test_the_scale_of_the_latents_is_one_over_their_standard_deviation() -> None:
    model, data = fitted(steps=20), rows()
    with torch.no_grad():
        law = model.vae.encode(model.pixels.scaled(data.data)).latent_dist
        drawn = torch.stack([law.sample(torch.Generator().manual_seed(seed)) for seed in range(2000)])
    # The standard error of a standard deviation of so many independent numbers is below 0.1 %
    assert float(model.latent_scale) == pytest.approx(1 / float(drawn.std()), rel=5e-3)
    assert model.encoders.scale == float(model.latent_scale)
    assert fitted(model).encoders.scale == model.encoders.scale


def test_the_first_step_of_each_phase_has_the_loss_of_diffusers_parts() -> None:
    model, data = ld(prompt_dropout=0.0), rows()
    model.begin(data, budget(steps=4), place())
    chosen = next(iter(RandomRows(N, budget(steps=4), place())))
    generator = place().child("noise").torch()
    x = data.data[chosen[:4]].float() / 127.5 - 1
    law = model.vae.encode(x).latent_dist
    z = law.mean + law.std * torch.randn(law.mean.shape, generator=generator)
    error = torch.nn.functional.l1_loss(model.vae.decode(z).sample, x)
    expected = error + SMALL.kl_weight * law.kl().sum() / law.mean.numel()
    torch.testing.assert_close(model.training_step(chosen), expected)

    model._first = 0
    loss = model.training_step(chosen)
    law = model.vae.encode(data.data[chosen].float() / 127.5 - 1).latent_dist
    z = model.encoders.scale * law.sample(generator)
    torch.rand(len(chosen), generator=generator)  # which prompts are dropped: none
    t = torch.randint(0, 1000, (len(chosen),), generator=generator)
    noise = torch.randn(z.shape, generator=generator)
    states = model.text_encoder(model.tokenize([data.captions.texts()[row] for row in chosen]))[0]
    predicted = model.unet(model.noising.add_noise(z, noise, t), t, states, return_dict=False)[0]
    expected = torch.nn.functional.mse_loss(predicted, model.noising.target(z, noise, t))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


def test_each_part_has_the_rate_and_the_course_of_its_own_steps() -> None:
    model = ld(lr=0.5, warmup=0.0)
    model.begin(rows(), budget(steps=8), place())
    model.trainer = Precise()  # type: ignore[assignment]
    made = model.configure_optimizers()
    rates = []
    for _ in range(8):
        rates.append([group["lr"] for group in made["optimizer"].param_groups])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    cosine = [(1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    np.testing.assert_allclose([first for first, _ in rates], [*(SMALL.lr * c for c in cosine), *[0.0] * 4], atol=1e-12)
    np.testing.assert_allclose([later for _, later in rates], [*[0.5] * 4, *(0.5 * c for c in cosine)], atol=1e-12)


class Precise:
    """Stands for a trainer in float32."""

    precision = "32-true"


def test_the_same_place_gives_the_same_weights_and_a_loaded_model_the_same_samples() -> None:
    model = fitted()
    torch.manual_seed(99)
    assert same(fitted().weights(), model.weights())
    loaded = ld()
    loaded.load(model.weights())
    assert torch.equal(draw(loaded, conditions([*TEXTS])).data, draw(model, conditions([*TEXTS])).data)


def test_a_cold_fit_encodes_the_pictures_once() -> None:
    model = fitted(steps=8)
    assert model.encoders.pictures == N


@pytest.mark.parametrize("objective", ["eps", "v"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_an_exported_pipeline_draws_the_same_images_in_diffusers(objective: str, scale: float, tmp_path: Path) -> None:
    model = fitted(objective=objective, guidance_scale=scale, pixels=Pixels(stored="float32"))
    texts = ["a hand", "a ten of them", "a HAND", "an unheard-of hand"]
    ours = draw(model, conditions(texts)).data
    made = model.export(tmp_path)
    assert made.task == "text-to-image"
    assert f"guidance_scale={scale}" in made.usage
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(4, *model.noise_shape, generator=place(role="sample/all").torch())
    theirs = pipe(texts, latents=noise, guidance_scale=scale, num_inference_steps=4, output_type="pt").images
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-5)
    assert pipe.vae.config.scaling_factor == model.encoders.scale


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guidance_scale": 0.5}, r"with the guidance scale 0\.5; pipelines of diffusers guide above 1 only"),
        ({"guidance_scale": 0.5, "guidance_interval": (0.2, 0.8)}, r"with the guidance scale 0\.5;"),
        (
            {"guidance_scale": 2.0, "guidance_interval": (0.2, 0.8)},
            r"between the noise levels 0\.2 and 0\.8; this",
        ),
        ({"guidance_scale": 1.0, "guidance_interval": (0.2, 0.8)}, None),
        ({"strength": 0.5}, r"went through 0\.5 of the process .* draws from text alone"),
        ({"sampling_precision": "bf16-mixed"}, r"products in bfloat16"),
        ({}, None),
    ],
)
def test_an_export_says_what_it_draws_otherwise(changes: dict[str, Any], said: str | None, tmp_path: Path) -> None:
    _, *more = ld(**changes).export(tmp_path).notes
    if said is None:
        assert more == []
    else:
        (note,) = more
        assert re.search(said, note)


def test_a_pipeline_guides_above_1_alone(tmp_path: Path) -> None:
    model, plain = (fitted(guidance_scale=scale, pixels=Pixels(stored="float32")) for scale in (0.5, 1.0))
    model.export(tmp_path)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(2, *model.noise_shape, generator=place(role="sample/all").torch())
    theirs = pipe([*TEXTS], latents=noise, guidance_scale=0.5, num_inference_steps=4, output_type="pt").images
    ours, unguided = ((draw(one, conditions([*TEXTS])).data / 2 + 0.5).clamp(0, 1) for one in (model, plain))
    torch.testing.assert_close(unguided, theirs, rtol=0, atol=1e-5)
    assert float((ours - theirs).abs().max()) > 1e-3


def test_diffusers_opens_an_exported_pipeline_to_start_from_pictures(tmp_path: Path) -> None:
    model = fitted(guidance_scale=3.0, strength=0.5, pixels=Pixels(stored="float32"))
    model.export(tmp_path)
    pipe = AutoPipelineForImage2Image.from_pretrained(tmp_path)
    assert isinstance(pipe, StableDiffusionImg2ImgPipeline)
    assert pipe.vae.config.scaling_factor == model.encoders.scale


def test_stable_diffusion_takes_an_exported_pipeline(tmp_path: Path) -> None:
    first = fitted(pixels=Pixels(stored="float32"), guidance_scale=3.0)
    first.export(tmp_path)
    again = built(
        StableDiffusion,
        SPEC,
        {
            "pretrained": str(tmp_path),
            "guidance_scale": 3.0,
            "sampler": Sampler("DPMSolverMultistepScheduler", 4),
            "pixels": Pixels(stored="float32"),
        },
    )
    torch.testing.assert_close(
        draw(again, conditions([*TEXTS])).data, draw(first, conditions([*TEXTS])).data, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (replace(SPEC, vocabulary=()), {}, r"model=latent_diffusion needs captions .* give dataset\.templates"),
        (replace(SPEC, modality="points", shape=(2,)), {}, r"draws images; this data set holds points"),
        (
            replace(SPEC, shape=(3, 10, 10)),
            {},
            r"shrinks sides by 2 and the U-Net by 2 more, and 10x10 is not divisible by 4; give dataset\.image_size=8,",
        ),
        (SPEC, {"norm_groups": 3}, r"model\.norm_groups 3 does not divide model\.channels' 8"),
        (SPEC, {"text_heads": 3}, r"model\.text_heads 3 does not divide model\.text_width 16; give .*=18"),
        (SPEC, {"pixels": Pixels(range=(0, 1))}, r"give model\.pixels\.range=\[-1,1\], not \[0, 1\]"),
        (SPEC, {"strength": 0.1}, r"model\.strength=0\.1 of model\.sampler\.steps=4 leaves no step"),
        (SPEC, {"attention": (True,)}, r"one entry per resolution; got 2 and 1"),
        (SPEC, {"ema_decay": None}, r"model=latent_diffusion keeps a moving average"),
    ],
)
def test_what_does_not_fit_is_refused(spec: Spec, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        ld(spec, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, r"model\.autoencoder\.channels has one width for each resolution"),
        ({"channels": (8, 12)}, r"norm_groups 8 does not divide model\.autoencoder\.channels' 12; give a divisor"),
    ],
)
def test_an_autoencoder_that_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Autoencoder(**changes)


def test_prompts_that_are_longer_than_every_caption_are_refused() -> None:
    model = ld()
    model.check_prompts([*TEXTS, "a hand of them", ""])
    with pytest.raises(UserError, match=r"takes 4 words and marks, .* and 'a hand of them all' has 5; shorten"):
        model.check_prompts(["a hand", "a hand of them all"])


@pytest.mark.parametrize(("parts", "rows_of_each"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_the_parts_of_a_step_share_the_rows_of_the_autoencoder(
    parts: int, rows_of_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, loss = [], Autoencoder.loss

    def noted(sizes: Autoencoder, vae: Any, x: Tensor, noise: torch.Generator) -> Tensor:
        seen.append(x)
        return loss(sizes, vae, x, noise)

    monkeypatch.setattr(Autoencoder, "loss", noted)
    model, data, size = ld(), rows(), budget(steps=4, accumulate=parts)  # 8 rows a step, 4 of them for the autoencoder
    model.fit(data, size, place(), QUIET)
    batches = [step for step, _ in zip(RandomRows(N, size, place()), range(2), strict=False)]
    chosen = [part[:rows_of_each] for batch in batches for part in batch.chunk(parts)]
    assert len(seen) == 2 * parts
    for x, numbers in zip(seen, chosen, strict=True):
        torch.testing.assert_close(x, data.data[numbers].float() / 127.5 - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("steps", "expected"), [(0, 0), (1, 0), (2, 1), (10, 5)])
def test_a_step_is_left_for_the_unet(steps: int, expected: int) -> None:
    assert SMALL.steps(steps) == expected
    assert replace(SMALL, share=0.99).steps(steps) == max(0, steps - 1)
