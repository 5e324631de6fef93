"""A fit that is stopped goes on at its step, and ends with the weights of a fit that nothing has stopped."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from collapse_lab.engine import checkpoint as checkpoints
from collapse_lab.engine.selection import Best
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged
from collapse_lab.features.lenet import LeNet
from collapse_lab.models.vae import VAE
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.selection import Selection
from collapse_lab.types import Budget, Checkpointing, RealData, Samples, Weights
from tests.models import test_causal_lm as texts
from tests.models import test_latent_diffusion as latents
from tests.models import test_stable_diffusion as diffusion
from tests.models.cases import DATA, built, place, same, small
from tests.models.tiny_pipelines import write_pipeline

STEPS, BATCH, STOP = 7, 8, 4  # an epoch ends inside a batch, before the stop and after it
NEVER, ALWAYS = 1e6, 1e-9  # minutes between checkpoints
ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2]


class Requeued(BaseException):
    """What the handler of SIGUSR2 raises here, as that of submitit ends the process."""


@dataclass
class Case:
    """A family: how a model is built, and what it is fitted to."""

    build: Callable[[], Any]
    rows: Callable[[], Samples]
    settings: dict[str, Any]


def images(n: int = 20) -> Samples:
    return DATA.load().train.take(np.arange(n))


def text2image() -> Any:
    return small("text2image", pixels=Pixels(mirrored=True))


def best_of_validation() -> Any:
    # The model learns to count upwards, and is judged by counting downwards, so its first weights are the best
    model = texts.built(dropout=0.3, selection="best", validate_every=2)
    model.validate_on(replace(texts.counting(8), data=texts.counting(8).data.flip(1)))
    return model


def best_of_images() -> Any:
    # Images are judged by how far the weights are from the first ones, so the first look has the best weights
    model = small("ddpm", pixels=Pixels(mirrored=True), selection=Selection(every=2, features="pixels"))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    model.validate_on(images())
    model.judge_by(lambda _: sum(float((value - start[name]).norm()) for name, value in model.state_dict().items()))
    return model


@cache
def pipeline() -> TemporaryDirectory[str]:
    """Return a folder with a tiny pipeline of Stable Diffusion, which is removed with the process."""
    folder = TemporaryDirectory()
    write_pipeline(Path(folder.name) / "1.x", "1.x")
    return folder


def stable_diffusion(**changes: Any) -> Any:
    return diffusion.sd(Path(pipeline().name) / "1.x", pixels=Pixels(mirrored=True), **changes)


def latent_diffusion(share: float) -> Any:
    return latents.ld(pixels=Pixels(mirrored=True), autoencoder=replace(latents.SMALL, share=share))


@cache
def moments() -> Weights:
    """Return the weights and the moments of a fit."""
    model = small("ddpm", finetune_state="kept")
    model.fit(images(), Budget(STEPS, BATCH, rows=20), place(), Silent())
    return model.weights()


def goes_on_with(weights: Weights) -> Any:
    model = small("ddpm", finetune_state="kept")
    model.load(weights)
    return model


def words() -> Samples:
    return texts.counting(20)


CASES = {
    "ddpm": Case(lambda: small("ddpm"), images, {}),
    "ddpm, moments kept": Case(lambda: goes_on_with(moments()), images, {"warm": True}),
    "ddim": Case(lambda: small("ddim"), images, {}),
    "ddpm, best weights": Case(best_of_images, images, {}),
    "text2image": Case(text2image, images, {}),
    "text2image in parts": Case(text2image, images, {"accumulate": 2}),
    "text2image in bfloat16": Case(text2image, images, {"precision": "bf16-mixed"}),
    "vae": Case(lambda: built(VAE, DATA.spec, {"channels": 4, "latent": 3}), images, {"gradient_clip": None}),
    "stable_diffusion": Case(stable_diffusion, lambda: diffusion.rows(20), {}),
    "stable_diffusion, adapters": Case(lambda: stable_diffusion(lora_rank=2), lambda: diffusion.rows(20), {}),
    "latent_diffusion, autoencoder": Case(lambda: latent_diffusion(0.75), lambda: latents.rows(20), {}),
    "latent_diffusion, U-Net": Case(lambda: latent_diffusion(0.3), lambda: latents.rows(20), {}),
    "causal_lm": Case(lambda: texts.built(dropout=0.3), words, {}),
    "causal_lm, best weights": Case(best_of_validation, words, {}),
}


class Steps(Silent):
    """Count the steps of a fit, and act after one of them."""

    def __init__(self, act: Callable[[], object] = lambda: None, at: int = 0) -> None:
        self.total, self._act, self._at = 0, act, at

    def advance(self, steps: int = 1) -> None:
        self.total += steps
        if self.total == self._at:
            self._act()


def kept_at(folder: Path, minutes: float = NEVER, key: str = "a" * 32) -> Checkpointing:
    return Checkpointing(folder / ".checkpoints" / f"fit-{key}.safetensors", key, minutes)


def fit(name: str, kept: Checkpointing | None, progress: Steps | None = None, **changes: Any) -> tuple[Weights, int]:
    """Fit a fresh model, and return its weights and how many training steps were computed."""
    case = CASES[name]
    with place().child("init").scoped():
        model = case.build()
    computed = 0
    training_step = model.training_step

    def counted(rows: Any) -> Any:
        nonlocal computed
        computed += 1
        return training_step(rows)

    model.training_step = counted
    budget = replace(Budget(STEPS, BATCH, rows=20, **case.settings), **changes)
    model.fit(case.rows(), budget, place(), progress or Steps(), checkpoint=kept)
    return {key: value.clone() for key, value in model.weights().items()}, computed // budget.accumulate


@cache
def undisturbed(name: str) -> Weights:
    return fit(name, None)[0]


def sending(number: int) -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, Any]]:
    """Handlers as a process has them that was started in the foreground, under a program that watches over it."""

    def requeue(number: int, frame: Any) -> None:
        raise Requeued

    wanted: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGUSR2: requeue,
    }
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield wanted
    for number, handler in before.items():
        signal.signal(number, handler)


def stop(name: str, kept: Checkpointing, number: int = signal.SIGINT, at: int = STOP) -> None:
    with pytest.raises(Requeued if number == signal.SIGUSR2 else KeyboardInterrupt):
        fit(name, kept, Steps(sending(number), at))


def _each_with_each_ending() -> Iterator[Any]:
    """Yield each family with each signal; only two families have every signal, and the others' other two are slow."""
    for name, number in product(CASES, ENDINGS):
        quick = number == signal.SIGINT or name in ("vae", "text2image in parts")
        word = signal.Signals(number).name
        yield pytest.param(name, number, id=f"{name}-{word}", marks=[] if quick else pytest.mark.slow)


@pytest.mark.parametrize(("name", "number"), _each_with_each_ending())
def test_a_fit_that_a_signal_stops_goes_on_bit_for_bit(
    name: str, number: int, tmp_path: Path, handlers: dict[int, Any]
) -> None:
    kept = kept_at(tmp_path)
    stop(name, kept, number)
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert kept.path.is_file()
    told = Steps()
    weights, computed = fit(name, kept, told)
    assert computed == STEPS - STOP
    assert told.total == STEPS
    assert same(weights, undisturbed(name))


@pytest.mark.parametrize("name", CASES)
def test_a_fit_that_an_error_ends_goes_on_from_the_last_checkpoint_of_the_clock(name: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise MemoryError

    kept = kept_at(tmp_path, ALWAYS)
    with pytest.raises(MemoryError):
        fit(name, kept, Steps(fail, STOP))
    weights, computed = fit(name, kept)
    assert computed == STEPS - STOP + 1  # because the step that failed had no checkpoint behind it
    assert same(weights, undisturbed(name))


@pytest.mark.parametrize(
    "name",
    ["text2image", "vae", "latent_diffusion, autoencoder", "ddpm, best weights", "causal_lm, best weights"],
)
def test_a_fit_goes_on_after_any_number_of_stops_at_any_step(name: str, tmp_path: Path) -> None:
    kept = kept_at(tmp_path)
    for at in (1, 2, 5, STEPS):
        stop(name, kept, at=at)
    weights, computed = fit(name, kept)
    assert computed == 0
    assert same(weights, undisturbed(name))


def test_a_feature_extractor_goes_on_bit_for_bit(tmp_path: Path) -> None:
    rows = images(50)
    real = RealData(rows, rows)

    def trained(kept: Checkpointing | None, steps: Steps) -> dict[str, torch.Tensor]:
        lenet = LeNet(DATA.spec, steps=STEPS, batch_size=BATCH)
        lenet.fit(real, steps, kept)
        return lenet.weights()

    kept = kept_at(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trained(kept, Steps(sending(signal.SIGTERM), STOP))
    assert kept.path.is_file()
    assert same(trained(kept, Steps()), trained(None, Steps()))


def test_a_fit_that_nothing_stops_writes_no_file_and_gives_the_same_weights(tmp_path: Path) -> None:
    weights, computed = fit("text2image", kept_at(tmp_path))
    assert computed == STEPS
    assert same(weights, undisturbed("text2image"))
    assert list(tmp_path.rglob("*")) == []


def test_checkpoints_of_the_clock_change_no_weights_and_replace_each_other(tmp_path: Path) -> None:
    kept = kept_at(tmp_path, ALWAYS)
    weights, _ = fit("text2image", kept)
    assert same(weights, undisturbed("text2image"))
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]


def test_a_fit_in_another_thread_has_the_checkpoints_of_the_clock(tmp_path: Path, handlers: dict[int, Any]) -> None:
    kept, ends = kept_at(tmp_path, ALWAYS), Queue[Any]()
    seen: list[bool] = []

    def look() -> None:
        seen.append({number: signal.getsignal(number) for number in handlers} == handlers)

    Thread(target=lambda: ends.put(fit("vae", kept, Steps(look, STOP)))).start()
    weights, _ = ends.get(timeout=60)
    assert seen == [True]
    assert same(weights, undisturbed("vae"))
    assert kept.path.is_file()


def test_a_handler_that_returns_lets_the_fit_go_on(tmp_path: Path) -> None:
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    kept = kept_at(tmp_path)
    weights, computed = fit("vae", kept, Steps(sending(signal.SIGTERM), STOP))
    assert (seen, computed) == ([signal.SIGTERM], STEPS)
    assert same(weights, undisturbed("vae"))
    assert kept.path.is_file()  # because the process may be killed soon


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    weights, computed = fit("vae", kept_at(tmp_path), Steps(sending(signal.SIGUSR2), STOP))
    assert computed == STEPS
    assert same(weights, undisturbed("vae"))


def test_a_second_ctrl_c_does_not_wait_for_the_end_of_the_step(tmp_path: Path) -> None:
    def twice() -> None:
        sending(signal.SIGINT)()
        sending(signal.SIGINT)()
        pytest.fail("the second Ctrl-C has waited")

    kept = kept_at(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit("vae", kept, Steps(twice, STOP))
    assert not kept.path.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_divergence_after_a_checkpoint_is_a_divergence(tmp_path: Path) -> None:
    kept = kept_at(tmp_path)
    stop("vae", kept)

    def diverge() -> None:
        raise Diverged("the loss was nan")

    with pytest.raises(Diverged):
        fit("vae", kept, Steps(diverge, STEPS))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_each_random_stream_and_the_best_weights_are_in_the_file(tmp_path: Path) -> None:
    kept = kept_at(tmp_path)
    stop("text2image", kept)
    names = load_file(kept.path).keys()
    assert {f"/streams/{name}" for name in ("noise", "mirror", "cpu")} <= names
    for part in ("/state_dict/unet.", "/average/shadow_params/", "/optimizer_states/0/state/0/exp_avg"):
        assert any(name.startswith(part) for name in names), part
    other = kept_at(tmp_path, key="b" * 32)
    stop("causal_lm, best weights", other)
    assert any(Best.__name__ in name and "/kept/" in name for name in load_file(other.path))


def test_going_on_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = kept_at(tmp_path)
    stop("vae", kept)
    with caplog.at_level(logging.INFO, logger=checkpoints.__name__):
        fit("vae", kept)
    assert f"goes on from its checkpoint at step {STOP} of {STEPS}" in caplog.text
