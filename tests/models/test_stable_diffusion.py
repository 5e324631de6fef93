"""Stable Diffusion on tiny pipelines: diffusers' own parts and pipeline are the second witness of every number."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from torch import Tensor
from torch._dynamo.utils import counters

from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.pipeline import INDEX
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Conditions, Samples, Spec
from tests.models.cases import QUIET, budget, built, conditions, draw, levels, place, same
from tests.models.tiny_pipelines import FACTOR, KINDS, write_pipeline

TEXTS = ("a hand", "a ten")
SPEC = Spec("image", (3, 8, 8), ("hand", "ten"), TEXTS)
LATENT = (4, 8 // FACTOR, 8 // FACTOR)
N = 12


@pytest.fixture(params=KINDS)
def folder(folders: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return folders[request.param]


def sd(folder: Path, **changes: Any) -> StableDiffusion:
    """Build the family on a tiny pipeline; settings of the optimisation may stand among the changes."""
    usual = {"pretrained": str(folder), "sampler": Sampler("DPMSolverMultistepScheduler", 4)}
    return built(StableDiffusion, changes.pop("spec", SPEC), usual | changes)


def rows(n: int = N) -> Samples:
    """Return noisy pictures, of which those of a hand are dark and those of a ten are bright."""
    labels = np.arange(n) % 2
    noise = torch.randint(0, 100, (n, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    data = (noise + 150 * torch.from_numpy(labels)[:, None, None, None]).to(torch.uint8)
    return Samples(data, labels, Captions.of([TEXTS[label] for label in labels]))


def exact(model: StableDiffusion, wanted: Conditions) -> Tensor:
    """Return samples as float32, neither rounded nor clamped."""
    assert model.pixels.stored == "float32"
    return draw(model, wanted).data


def test_training_lowers_the_loss(folder: Path) -> None:
    model, data = sd(folder, lr=1e-2, ema_decay=0.9), rows(16)
    times, noise = torch.linspace(0, 0.99, 16), torch.randn(16, *LATENT, generator=place().torch())
    before = model.denoising_losses(data, times, noise).mean()
    model.fit(data, budget(steps=40, batch_size=16), place(), QUIET)
    assert model.denoising_losses(data, times, noise).mean() < 0.9 * before


def test_the_loss_of_a_step_is_that_of_diffusers_parts(folder: Path) -> None:
    data, chosen = rows(), torch.tensor([0, 3, 4, 7, 10, 1, 2, 11])
    model = sd(folder, prompt_dropout=0.5)
    model.begin(data, budget(0), place())
    loss = model.training_step(chosen)
    (gradient,) = torch.autograd.grad(loss, model.unet.conv_in.weight)

    pipe = DiffusionPipeline.from_pretrained(folder)
    unet, scheduler = pipe.unet, DDPMScheduler.from_config(pipe.scheduler.config)
    generator = place().child("noise").torch()
    with torch.no_grad():
        law = pipe.vae.encode(data.data[chosen].float() / 127.5 - 1).latent_dist
        latents = law.sample(generator) * pipe.vae.config.scaling_factor
        dropped = torch.rand(8, generator=generator) < 0.5
        texts = [data.captions.texts()[row] for row in chosen]
        # For guidance the pipeline gives the states of "no condition" beside those of the texts
        states, empty, *pooled = pipe.encode_prompt(
            texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
        )
        states, added = torch.where(dropped[:, None, None], empty, states), None
        if folder.name == "xl":
            sizes = torch.tensor([[8.0, 8.0, 0.0, 0.0, 8.0, 8.0]]).expand(8, -1)
            added = {"text_embeds": torch.where(dropped[:, None], pooled[1], pooled[0]), "time_ids": sizes}
    t = torch.randint(0, scheduler.config.num_train_timesteps, (8,), generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    kind = scheduler.config.prediction_type
    target = noise if kind == "epsilon" else scheduler.get_velocity(latents, noise, t)
    noisy = scheduler.add_noise(latents, noise, t)
    predicted = unet(noisy, t, states, added_cond_kwargs=added, return_dict=False)[0]
    expected = torch.nn.functional.mse_loss(predicted.float(), target.float())

    assert 0 < int(dropped.sum()) < 8
    assert kind == ("v_prediction" if folder.name == "2.x" else "epsilon")
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)
    (wanted,) = torch.autograd.grad(expected, unet.conv_in.weight)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("own", [True, False], ids=["own scheduler", "DPM-Solver++"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_samples_are_those_of_the_pipeline(folder: Path, own: bool, scale: float) -> None:
    texts = ["a hand", "a ten", "a hand"]
    settings = {"own_scheduler": own, "guidance_scale": scale, "pixels": Pixels(stored="float32")}
    model = sd(folder, **settings, sampler=Sampler("DPMSolverMultistepScheduler", 5))
    ours = exact(model, conditions(texts))
    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    if not own:
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    noise = torch.randn(3, *LATENT, generator=place(role="sample/all").torch())
    theirs = pipe(
        texts, latents=noise, guidance_scale=scale, num_inference_steps=5, height=8, width=8, output_type="pt"
    ).images
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("zero", [True, False], ids=["zero", "encoded"])
@pytest.mark.parametrize("looked_up", [True, False])
def test_an_empty_prompt_is_encoded_and_no_condition_is_what_the_pipeline_says(
    folder: Path, tmp_path: Path, zero: bool, looked_up: bool
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / folder.name))
    if folder.name == "xl":
        index = json.loads((own / INDEX).read_text())
        (own / INDEX).write_text(json.dumps(index | {"force_zeros_for_empty_prompt": zero}))
    texts = ["a hand", "", "a ten"]
    model = sd(own, guidance_scale=3.0, pixels=Pixels(stored="float32"), own_scheduler=True)
    if looked_up:
        other = sd(own).encoders
        model.take_states(lambda asked: other.encode_prompts(asked, "cpu"))
    pipe = DiffusionPipeline.from_pretrained(own)
    pipe.set_progress_bar_config(disable=True)
    # For guidance the pipeline gives the states of "no condition" beside those of the texts
    states, nothing, *pooled = pipe.encode_prompt(
        texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    ours = model.condition(conditions(texts))[:]
    without = model.nothing(ours)
    width = slice(None, states.shape[1])
    torch.testing.assert_close(ours[:, width], states, rtol=0, atol=1e-6)
    torch.testing.assert_close(without[:, width], nothing, rtol=0, atol=1e-6)
    if folder.name == "xl":
        for whole, theirs in zip((ours, without), pooled, strict=True):
            torch.testing.assert_close(whole[:, -1, : theirs.shape[1]], theirs, rtol=0, atol=1e-6)
        assert bool(without.any()) is not zero

    noise = torch.randn(3, *LATENT, generator=place(role="sample/all").torch())
    theirs = pipe(
        texts, latents=noise, guidance_scale=3.0, num_inference_steps=4, height=8, width=8, output_type="pt"
    ).images
    drawn = exact(model, conditions(texts))
    torch.testing.assert_close((drawn / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch(folder: Path) -> None:
    wanted, pixels = conditions([*TEXTS, *TEXTS, "a hand"]), Pixels(stored="float32")
    whole = exact(sd(folder, pixels=pixels, sampling_batch=5, encoding_batch=5), wanted)
    for size in (1, 2):
        parts = exact(sd(folder, pixels=pixels, sampling_batch=size, encoding_batch=1), wanted)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert levels(draw(sd(folder, sampling_batch=2), wanted).data, draw(sd(folder), wanted).data) <= 1
    assert not torch.equal(whole[0], whole[2])  # the prompt is the same, and the noise is not


def test_equal_places_give_equal_samples_and_other_places_give_others(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    model, wanted = sd(folder), conditions([*TEXTS])
    once = draw(model, wanted)
    torch.manual_seed(5)
    assert torch.equal(draw(model, wanted).data, once.data)
    assert not torch.equal(draw(model, wanted, generation=1).data, once.data)
    assert once.data.shape == (2, *SPEC.shape)
    assert once.data.dtype == torch.uint8
    assert once.captions.texts() == [*TEXTS]


def test_guidance_takes_one_batch_for_both_branches(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]

    def calls(scale: float) -> list[int]:
        model, seen = sd(folder, guidance_scale=scale), []
        model.unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
        draw(model, conditions(["a hand", "a ten", "a ten"]))
        return seen

    assert calls(3.0) == [6] * 4
    assert calls(1.0) == [3] * 4


def test_a_fit_trains_and_stores_the_unet_alone(folder: Path) -> None:
    model, fresh = sd(folder), sd(folder)
    model.fit(rows(), budget(steps=3), place(), QUIET)
    assert {name.split(".")[0] for name in model.weights()} == {"unet"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(not torch.equal(value, fresh.weights()[name]) for name, value in model.weights().items())
    for kept, read in zip(frozen(model), frozen(fresh), strict=True):
        assert same(kept.state_dict(), read.state_dict())


def frozen(model: StableDiffusion) -> list[torch.nn.Module]:
    return [model.encoders._vae, *model.encoders._texts]


def test_the_same_place_gives_the_same_weights_and_a_loaded_model_the_same_samples(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]

    def fitted(generation: int = 0) -> StableDiffusion:
        model = sd(folder)
        model.fit(rows(), budget(steps=3), place(generation), QUIET)
        return model

    model = fitted()
    torch.manual_seed(99)
    assert same(fitted().weights(), model.weights())
    assert not same(fitted(1).weights(), model.weights())
    loaded = sd(folder)
    loaded.load(model.weights())
    assert torch.equal(draw(loaded, conditions([*TEXTS])).data, draw(model, conditions([*TEXTS])).data)


def test_no_step_is_the_pretrained_model(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    model = sd(folder)
    model.fit(rows(), budget(steps=0), place(), QUIET)
    assert same(model.weights(), sd(folder).weights())


def test_a_fit_encodes_each_picture_and_each_prompt_once(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    model = sd(folder)
    model.fit(rows(), budget(steps=6, batch_size=8), place(), QUIET)
    assert (model.encoders.pictures, model.encoders.prompts) == (N, 3)  # two captions, and the empty prompt
    draw(model, conditions(["a hand", "a ten", "a ten", "an it"]))
    assert (model.encoders.pictures, model.encoders.prompts) == (N, 4)


def test_gradient_checkpointing_changes_no_weight(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]

    def fitted(checkpointing: bool) -> StableDiffusion:
        model = sd(folder, gradient_checkpointing=checkpointing)
        assert model.unet.is_gradient_checkpointing is checkpointing
        model.fit(rows(), budget(steps=3), place(), QUIET)
        return model

    assert same(fitted(True).weights(), fitted(False).weights())


@pytest.mark.parametrize(
    ("kind", "rank", "backend"),
    [
        ("1.x", None, "eager"),  # torch's graphs without machine code, so that no compiler is needed
        pytest.param("xl", 2, "inductor", marks=pytest.mark.slow(reason="the C++ compiler takes a minute")),
    ],
)
def test_a_compiled_unet_gives_the_same_weights_and_samples(
    folders: dict[str, Path], kind: str, rank: int | None, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    wanted, pixels, made, graphs = conditions([*TEXTS]), Pixels(stored="float32"), [], []
    for compiled in (False, True):
        model = sd(folders[kind], lora_rank=rank, compiled=compiled, pixels=pixels)
        model.fit(rows(), budget(steps=2, batch_size=4), place(), QUIET)
        made.append((model.weights(), exact(model, wanted)))
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[1] > graphs[0]
    (plain, witness), (weights, samples) = made
    assert weights.keys() == plain.keys()
    for name in weights:
        torch.testing.assert_close(weights[name], plain[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(samples, witness, rtol=0, atol=1e-3)


def test_sampling_may_round_the_unet_to_bfloat16_and_nothing_else(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    wanted, pixels, types = conditions([*TEXTS]), Pixels(stored="float32"), []
    model = sd(folder, pixels=pixels, sampling_precision="bf16-mixed")
    model.unet.conv_in.register_forward_hook(lambda _, args, out: types.append(out.dtype))
    rounded, plain = exact(model, wanted), exact(sd(folder, pixels=pixels), wanted)
    assert set(types) == {torch.bfloat16}
    assert 0 < float((rounded - plain).abs().max()) < 0.1
    assert rounded.dtype == torch.float32


def test_a_fit_in_mixed_precision_keeps_weights_in_float32(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    model = sd(folder)
    model.fit(rows(), budget(steps=2, precision="bf16-mixed"), place(), QUIET)
    assert {value.dtype for value in model.weights().values()} == {torch.float32}
    assert not same(model.weights(), sd(folder).weights())


def test_mirrored_rows_are_encoded_mirrored(folders: dict[str, Path]) -> None:
    folder = folders["1.x"]
    model, data = sd(folder, pixels=Pixels(mirrored=True)), rows(64)
    model.begin(data, budget(0), place())
    assert model.encoders.pictures == 128
    model._latents[:][:, :, 1] = 0  # no deviation, so that the means can be told apart
    with torch.no_grad():
        drawn = model.draw(torch.arange(64))[0]
        straight, mirrored = model.encoded(data.data), model.encoded(data.data.flip(-1))
    is_straight, is_mirrored = ((drawn - z).flatten(1).abs().amax(1) < 1e-5 for z in (straight, mirrored))
    assert (is_straight ^ is_mirrored).all()
    # 64 tosses of a fair coin have a standard deviation of 4
    assert abs(int(is_mirrored.sum()) - 32) < 16


def test_a_legacy_vae_reads_as_the_present_one(folders: dict[str, Path], tmp_path: Path) -> None:
    # Stable Diffusion 1.x was saved when diffusers had other names for the VAE's attention
    from safetensors.torch import load_file, save_file

    old = write_pipeline(tmp_path / "old")
    file = old / "vae" / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(file)
    renamed = {}
    for name, value in weights.items():
        for new, former in names.items():
            name = name.replace(f"attentions.0.{new}", f"attentions.0.{former}")
        renamed[name] = value
    assert renamed.keys() != weights.keys()
    save_file(renamed, file, {"format": "pt"})
    latents = (sd(place).encoders.latents(rows().data, torch.device("cpu")) for place in (old, folders["1.x"]))
    assert torch.equal(*latents)
