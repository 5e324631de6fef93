from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from collapse_lab.errors import Diverged, UserError
from collapse_lab.nn.samplers import Sampler
from collapse_lab.sinks.silent import Silent
from collapse_lab.types import Captions, Samples, Spec
from tests.models.cases import DATA, QUIET, budget, conditions, draw, fitted, place, same, tiny, weights


def test_the_same_place_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(99)  # what others did to the global generator is of no matter
    assert same(fitted().weights(), weights())


def test_another_generation_is_another_fit() -> None:
    other = fitted(generation=1).weights()
    assert not same(other, weights())
    # From the same initialisation, so it is the order and the noise that differ
    assert same(tiny().weights(), tiny().weights())


def test_a_fit_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fitted(steps=2)
    assert torch.equal(torch.rand(1), expected)


def test_fine_tuning_starts_from_the_weights_it_is_given() -> None:
    assert same(fitted(generation=1, steps=0, start=weights()).weights(), weights())
    assert not same(fitted(generation=1, steps=0).weights(), weights())
    warm, cold = fitted(1, 1, weights(), warmup=0.0).weights(), fitted(1, 1, warmup=0.0).weights()
    assert not same(warm, weights())
    assert not same(warm, cold)


def test_what_is_kept_is_the_average_of_the_weights() -> None:
    plain, averaged = (fitted(ema_decay=decay).weights() for decay in (0.0, 0.9))
    start = tiny().weights()
    name = "unet.conv_in.weight"

    def moved(found: torch.Tensor) -> float:
        return float((found - start[name]).norm())

    assert 0 < moved(averaged[name]) < moved(plain[name])


def test_pretrained_weights_are_read_from_a_file_or_a_stage(tmp_path: Path) -> None:
    save_file(dict(weights()), tmp_path / "tensors.safetensors")
    for given in (tmp_path, tmp_path / "tensors.safetensors"):
        assert same(tiny(pretrained=str(given)).weights(), weights())
    for missing in ("nowhere.safetensors", "model.pt"):
        with pytest.raises(UserError, match=r"model\.pretrained"):
            tiny(pretrained=str(tmp_path / missing))


def test_it_learns_what_the_words_mean() -> None:
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
    """Counts steps, and may break off like a user who presses Ctrl-C."""

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
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_comes_through_and_may_be_pressed_again(interruptible: object) -> None:
    # Lightning would turn it into SystemExit(1), and ignore every further one
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(DATA.load().train, budget(), place(), Watched(stop=3))
    assert signal.getsignal(signal.SIGINT) is interruptible


def test_a_loss_that_is_no_number_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="the loss was"):
        tiny(lr=1e30, warmup=0.0).fit(DATA.load().train, budget(steps=4, gradient_clip=None), place(), QUIET)


def test_samples_that_are_no_numbers_are_a_divergence() -> None:
    model = tiny()
    model.load({name: value * float("nan") for name, value in weights().items()})
    with pytest.raises(Diverged, match="5 samples are not finite"):
        draw(model)


IMAGE = DATA.spec


@pytest.mark.parametrize(
    ("spec", "changes", "said"),
    [
        (Spec("image", (1, 9, 8), (), ("a",)), {}, "9x8 is not divisible by 2"),
        (Spec("image", (1, 8, 10), (), ("a",)), {"channels": (8, 8, 8), "attention": [False] * 3}, "divisible by 4"),
        (Spec("image", (1, 8, 8)), {}, "needs captions"),
        (Spec("tokens", (8,), (), ("a",)), {}, "draws images"),
        (IMAGE, {"attention": [True]}, "one entry per resolution; got 2 and 1"),
        (IMAGE, {"prompt_dropout": 1.0}, r"model\.prompt_dropout lies in \[0, 1\); got 1"),
        (IMAGE, {"ema_decay": -0.1}, r"model\.ema_decay lies in"),
    ],
)
def test_what_cannot_be_built_is_refused(spec: Spec, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny(spec, **changes)
