from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from collapse_lab.config.binding import bind
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged, UserError
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Samples, Spec, Weights
from tests.models.cases import DATA, QUIET, budget, conditions, draw, fitted, place, same, tiny, weights


def test_the_same_place_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(99)  # because a fit must not depend on the global generator
    assert same(fitted().weights(), weights())


def test_fits_of_different_generations_differ() -> None:
    other = fitted(generation=1).weights()
    assert not same(other, weights())
    # The initialisation is the same, so the order and the noise make the difference
    assert same(tiny().weights(), tiny().weights())


def test_a_fit_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fitted(steps=2)
    assert torch.equal(torch.rand(1), expected)


def test_fine_tuning_starts_from_the_given_weights() -> None:
    assert same(fitted(generation=1, steps=0, start=weights()).weights(), weights())
    assert not same(fitted(generation=1, steps=0).weights(), weights())
    warm, cold = fitted(1, 1, weights(), warmup=0.0).weights(), fitted(1, 1, warmup=0.0).weights()
    assert not same(warm, weights())
    assert not same(warm, cold)


def refit(warm: bool, **changes: Any) -> Weights:
    model = tiny(weight_decay=0.1, warmup=0.0, **changes)
    model.load(weights())
    model.fit(DATA.load().train, budget(steps=4, warm=warm), place(1), QUIET)
    return model.weights()


def test_a_warm_fit_leaves_frozen_parts_bit_for_bit_as_they_are() -> None:
    frozen, free = refit(True, freeze=["text_encoder"]), refit(True)
    text = [name for name in weights() if name.startswith("text.")]
    assert len(text) > 10
    for name, before in weights().items():
        assert torch.equal(frozen[name], before) == (name in text), name
        assert not torch.equal(free[name], before), name


def test_a_fit_from_fresh_weights_trains_frozen_parts_too() -> None:
    assert same(refit(False, freeze=["text_encoder"]), refit(False))
    model = tiny(freeze=["text_encoder"])
    for warm in (True, False):
        model.fit(DATA.load().train, budget(steps=1, warm=warm), place(), QUIET)
        assert {parameter.requires_grad for parameter in model.text.parameters()} == {not warm}


def test_a_warm_fit_moves_the_weights_by_its_own_learning_rate() -> None:
    # Adam's first step is the learning rate, whatever the gradient
    slow = refit(True, lr=1.0, finetune_lr=1e-4, ema_decay=0.0, lr_schedule="constant")
    moved = max(float((slow[name] - weights()[name]).abs().max()) for name in slow)
    assert 1e-4 < moved < 4 * 1.2e-4


def test_a_part_that_the_family_does_not_have_is_refused_by_the_names_of_its_parts() -> None:
    node = {"_target_": "collapse_lab.models.text2image.Text2Image", "freeze": ["decoder"]}
    with pytest.raises(UserError, match=r"model\.freeze takes a list of text_encoder; got \['decoder'\]"):
        bind(node, "model", frozenset({"spec"}))


def test_a_fit_keeps_the_average_of_the_weights() -> None:
    plain, averaged = (fitted(ema_decay=decay).weights() for decay in (0.0, 0.9))
    start = tiny().weights()
    name = "unet.conv_in.weight"

    def moved(fitted_to: torch.Tensor) -> float:
        return float((fitted_to - start[name]).norm())

    assert 0 < moved(averaged[name]) < moved(plain[name])


def test_pretrained_weights_are_read_from_a_file_or_a_stage(tmp_path: Path) -> None:
    save_file(dict(weights()), tmp_path / "tensors.safetensors")
    for given in (tmp_path, tmp_path / "tensors.safetensors"):
        assert same(tiny(pretrained=str(given)).weights(), weights())
    for missing in ("nowhere.safetensors", "model.pt"):
        with pytest.raises(UserError, match=r"model\.pretrained"):
            tiny(pretrained=str(tmp_path / missing))


def test_a_fitted_model_draws_what_the_prompt_says() -> None:
    n = 32
    shades = torch.tensor([0, 255], dtype=torch.uint8).repeat(n // 2)
    texts = ["black", "white"] * (n // 2)
    spec = Spec("image", (1, 4, 4), (), ("black", "white"))
    data = Samples(shades[:, None, None, None].expand(n, 1, 4, 4).clone(), np.arange(n) % 2, Captions.of(texts))
    model = tiny(spec, lr=5e-3, ema_decay=0.9, objective="v", sampler=Sampler(steps=10))
    model.fit(data, budget(steps=100, batch_size=16), place(), QUIET)
    black, white = (draw(model, conditions([text] * 8)).data.float().mean() for text in ("black", "white"))
    assert black < 85 < 170 < white


class Watched(Silent):
    """Count steps, and raise KeyboardInterrupt at one of them as Ctrl-C does."""

    def __init__(self, stop: int | None = None) -> None:
        self.steps, self._stop = 0, stop

    def advance(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps == self._stop:
            raise KeyboardInterrupt


def test_every_step_is_reported() -> None:
    watched = Watched()
    tiny().fit(DATA.load().train, budget(steps=7), place(), watched)
    assert watched.steps == 7


@pytest.fixture
def interruptible() -> Iterator[object]:
    # A suite that was started in the background ignores SIGINT, so set the handler of the foreground
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_interrupts_a_fit_and_works_a_second_time(interruptible: object) -> None:
    # Lightning by itself turns Ctrl-C into SystemExit(1), and ignores every further one
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(DATA.load().train, budget(), place(), Watched(stop=3))
    assert signal.getsignal(signal.SIGINT) is interruptible


def test_a_loss_that_is_not_finite_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="the loss was"):
        tiny(lr=1e30, warmup=0.0).fit(DATA.load().train, budget(steps=4, gradient_clip=None), place(), QUIET)


def test_samples_that_are_not_finite_are_a_divergence() -> None:
    model = tiny()
    model.load({name: value * float("nan") for name, value in weights().items()})
    with pytest.raises(Diverged, match="5 samples are not finite"):
        draw(model)


IMAGE = DATA.spec


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (Spec("image", (1, 9, 8), (), ("a",)), {}, "9x8 is not divisible by 2"),
        (Spec("image", (1, 8, 10), (), ("a",)), {"channels": (8, 8, 8), "attention": [False] * 3}, "divisible by 4"),
        (Spec("image", (1, 8, 8)), {}, "needs captions"),
        (Spec("tokens", (8,), (), ("a",)), {}, "draws images"),
        (IMAGE, {"attention": [True]}, "one entry per resolution; got 2 and 1"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(spec: Spec, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(spec, **changes)
