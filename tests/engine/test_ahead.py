"""What a step trains on does not depend on whether a thread has drawn it ahead of the step."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.engine.ahead import AHEAD, Ahead, Drawing
from collapse_lab.features.lenet import LeNet
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.pixels import Pixels
from collapse_lab.types import RealData, Weights
from tests.engine.test_checkpoint import BATCH, CASES, STEPS, STOP, Steps, fit, handlers, images, kept_at, stop
from tests.engine.test_checkpoint import undisturbed as drawn_in_turn
from tests.models.cases import DATA, QUIET, budget, place, same, small, tiny
from tests.models.test_latent_diffusion import SMALL, ld
from tests.models.test_latent_diffusion import rows as latent_rows

__all__ = ["handlers"]  # which pytest takes for every test of this file


def far(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let every fit draw so many steps ahead, as it does on a GPU."""
    monkeypatch.setattr(Drawing, "steps_ahead", lambda module, device: steps)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("collapse_lab-draws")]


def trained_on(steps: int, device: str = "cpu") -> list[str]:
    """Return a hash of what each step of a fit trains on."""
    model, seen = small("text2image", pixels=Pixels(mirrored=True)), []
    drawn = model.drawn

    def hashed(rows: Tensor) -> tuple[Tensor, ...]:
        parts = drawn(rows)
        assert {part.device.type for part in parts} == {device}
        seen.append(hashlib.sha256(b"".join(part.cpu().numpy().tobytes() for part in parts)).hexdigest())
        return parts

    model.drawn = hashed  # type: ignore[method-assign]
    model.fit(images(), budget(steps, device=device), place(), QUIET)
    return seen


def test_fifty_steps_train_on_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    in_turn = trained_on(50)
    assert len(set(in_turn)) == 50
    far(monkeypatch, 3)
    assert trained_on(50) == in_turn


@pytest.mark.gpu
def test_fifty_steps_train_on_the_same_bits_on_a_gpu() -> None:
    assert trained_on(50, "cuda") == trained_on(50)


@pytest.mark.parametrize("name", CASES)
def test_weights_do_not_depend_on_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far(monkeypatch, 2)
    assert same(fit(name, None)[0], drawn_in_turn(name))


@pytest.mark.parametrize(("name", "later"), [*((name, 2) for name in CASES), ("text2image", 0), ("vae", 0)])
def test_a_fit_that_is_stopped_goes_on_from_the_step_and_not_from_what_is_drawn(
    name: str, later: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = kept_at(tmp_path)
    far(monkeypatch, 2)
    stop(name, kept)
    far(monkeypatch, later)
    weights, computed = fit(name, kept)
    assert computed == STEPS - STOP
    assert same(weights, drawn_in_turn(name))


def test_a_classifier_of_features_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> Weights:
        lenet = LeNet(DATA.spec, steps=STEPS, batch_size=BATCH)
        lenet.fit(RealData(images(50), images(50)), Steps())
        return lenet.weights()

    in_turn = trained()
    far(monkeypatch, 2)
    assert same(trained(), in_turn)


def test_one_thread_draws_and_is_never_further_than_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    model, names, begun, ended, distance = tiny(), set(), 0, 0, set()
    draw, drawn = model.draw, model.drawn

    def counted(rows: Tensor) -> Any:
        nonlocal begun
        begun += 1
        names.add(threading.current_thread().name)
        return draw(rows)

    def taken(rows: Tensor) -> tuple[Tensor, ...]:
        nonlocal ended
        parts = drawn(rows)
        distance.add(begun - ended)
        ended += 1
        return parts

    model.draw, model.drawn = counted, taken  # type: ignore[method-assign]
    far(monkeypatch, 2)
    model.fit(images(), budget(9), place(), QUIET)
    assert (begun, ended) == (9, 9)
    assert len(names) == 1
    assert threading.current_thread().name not in names
    assert max(distance) <= 3  # the step itself, and two ahead
    assert threads() == []


@pytest.mark.parametrize("at", [1, 4])
def test_an_error_of_the_thread_ends_the_fit(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    model, calls = tiny(), 0
    draw = model.draw

    def failing(rows: Tensor) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError("the file has changed")
        return draw(rows)

    model.draw = failing  # type: ignore[method-assign]
    far(monkeypatch, 2)
    told = Steps()
    with pytest.raises(OSError, match="the file has changed"):
        model.fit(images(), budget(9), place(), told)
    assert told.total == at - 1
    assert threads() == []


def test_nothing_of_a_fit_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    far(monkeypatch, 2)
    rows, model = DATA.load().train.take(np.arange(20)), tiny()  # a copy, because the data set keeps its own rows
    gc.collect()
    gc.disable()
    try:
        data = weakref.ref(rows.data)
        model.fit(rows, budget(5), place(), QUIET)
        del rows
        assert data() is None
        module = weakref.ref(model)
        del model
        assert module() is None
    finally:
        gc.enable()


def test_a_cpu_draws_in_turn_and_a_gpu_ahead() -> None:
    assert (tiny().steps_ahead("cpu"), tiny().steps_ahead("cuda")) == (0, AHEAD)


def test_latents_that_a_fit_makes_itself_are_not_drawn_before_it_has_made_them() -> None:
    model: Any = CASES["latent_diffusion, U-Net"].build()
    rows = CASES["latent_diffusion, U-Net"].rows()
    for warm, steps in ((False, 0), (True, AHEAD)):
        model.begin(rows, replace(budget(9), warm=warm), place())
        assert model.steps_ahead("cuda") == steps


@pytest.mark.parametrize(("share", "steps"), [(0.0, 2), (0.9, 1)])
def test_a_cold_fit_without_a_step_of_the_autoencoder_draws_in_turn(
    share: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights() -> Weights:
        model = ld(autoencoder=replace(SMALL, share=share))
        model.fit(latent_rows(), budget(steps), place(), QUIET)
        return model.weights()

    in_turn = weights()
    far(monkeypatch, 2)
    assert same(weights(), in_turn)


def test_no_batch_is_drawn_before_the_first_is_asked_for() -> None:
    model: Diffusion = tiny()
    model.begin(images(), budget(3), place())
    ahead = Ahead(model, [torch.arange(3), torch.arange(3, 6)], 1)
    before = model.drawing_streams()["noise"].get_state()
    batches = iter(ahead)
    assert torch.equal(model.drawing_streams()["noise"].get_state(), before)
    assert torch.equal(next(batches), torch.arange(3))
    ahead.take()
    assert not torch.equal(ahead.states["noise"], before)
    ahead.close()
    assert threads() == []
