from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.nn.samplers import Sampler
from collapse_lab.types import Captions, Samples, Spec
from tests.models.cases import DATA, FAMILIES, QUIET, budget, conditions, draw, place, same, small

SOLVER = "DPMSolverMultistepScheduler"  # the one that fits every objective
SPEC = Spec("image", (1, 4, 4), ("black", "white"), ("black", "white"))


def shades(n: int = 32) -> Samples:
    """Half of them black and half of them white, and called so."""
    labels = np.arange(n) % 2
    data = torch.from_numpy(labels * 255).to(torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).clone()
    return Samples(data, labels, Captions.of(["white" if label else "black" for label in labels]))


@pytest.mark.parametrize(
    ("family", "objective"), [("text2image", "flow"), ("ddpm", "eps"), ("ddpm", "flow"), ("ddim", "v")]
)
def test_families_learn_by_every_objective(family: str, objective: str) -> None:
    model = small(family, SPEC, lr=5e-3, ema_decay=0.9, objective=objective, sampler=Sampler(SOLVER, 10))
    model.fit(shades(), budget(steps=100, batch_size=16), place(), QUIET)
    wanted = conditions(["black", "white"] * 16)
    wanted.labels[:] %= 2
    means = draw(model, wanted).data.float().mean((1, 2, 3))
    if family == "ddim":  # it was never told which is which
        low, high = means[means < 127], means[means > 127]
        assert min(len(low), len(high)) >= 4
        assert low.mean() < 85 < 170 < high.mean()
    else:
        assert means[::2].mean() < 85 < 170 < means[1::2].mean()


def test_the_loss_of_ddim_is_what_is_asked_for() -> None:
    def loss(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        model = small("ddim", loss=name)
        model.fit(DATA.load().train, budget(0), place(), QUIET)  # binds the rows, and trains nothing
        found = model.training_step(torch.arange(8))
        noise = place().child("noise").torch()
        x, t = as_float(DATA.load().train.data[:8]), model.noising.draw(8, noise)
        predicted, target = model._denoise(x, torch.empty(8, 0), t, torch.randn(x.shape, generator=noise))
        return found, predicted - target

    squared, error = loss("mse")
    absolute, _ = loss("mae")
    torch.testing.assert_close(squared, error.square().mean())
    torch.testing.assert_close(absolute, error.abs().mean())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", ["eps", "flow"])
def test_a_probe_sees_squared_errors_at_its_own_times(family: str, objective: str) -> None:
    model = small(family, objective=objective, sampler=Sampler(SOLVER, 4), sampling_batch=5)
    rows = DATA.load().reference.take(np.arange(12))
    times, noise = torch.linspace(0, 0.99, 12).double(), torch.randn(rows.data.shape)
    found = model.denoising_losses(rows, times, noise)
    with torch.no_grad():
        t = model.noising.at(times)
        noisy = model.noising.add_noise(as_float(rows.data), noise, t)
        predicted = model.predict(noisy, t, model.embed(model.condition(rows)))
        wanted = (predicted - model.noising.target(as_float(rows.data), noise, t)).square().flatten(1).mean(1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("cosine", lambda k: (1 + math.cos(math.pi * k)) / 2),
        ("linear", lambda k: 1 - k),
        ("constant", lambda k: 1.0),
    ],
)
def test_the_learning_rate_follows_its_schedule(name: str, share: Any) -> None:
    model = small("ddpm", lr=0.1, lr_schedule=name, warmup=0.1)
    model._steps = 20
    configured = model.optimization(model.parameters(), fused=False)
    rates = []
    for _ in range(20):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0, 0.05, *(0.1 * share((step - 2) / 18) for step in range(2, 20))])


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        (
            "ddpm",
            {"objective": "epsilon"},
            r"model\.objective .*; got 'epsilon': did you mean 'eps'",
        ),
        ("ddpm", {"objective": "flow"}, "DDIMScheduler does not sample .* give FlowMatchEulerDiscreteScheduler"),
        ("ddim", {"sampler": Sampler("FlowMatchEulerDiscreteScheduler")}, "objective=eps or v; give DDIMScheduler"),
        ("ddim", {"loss": "huber"}, r"model\.loss is one of mse, mae; got 'huber'"),
        ("ddim", {"log_snr_end": 9.0}, "log-SNR falls"),
        ("ddim", {"timesteps": 3}, "refuses 4 steps"),
        ("text2image", {"lr_schedule": "cosin"}, r"model\.lr_schedule .* did you mean 'cosine'"),
        ("text2image", {"sampling_batch": 0}, r"model\.sampling_batch is 1 or more"),
        ("ddpm", {"guidance_interval": (0.9, 0.1)}, r"model\.guidance_interval is \[low, high\]"),
        ("ddpm", {"label_dropout": 1.0}, r"model\.label_dropout lies in \[0, 1\)"),
        ("ddpm", {"norm_groups": 3}, r"model\.norm_groups 3 does not divide"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(family: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        small(family, **changes)


@pytest.mark.parametrize("family", ["ddpm", "ddim"])
def test_the_same_place_gives_the_same_fit_and_another_another(family: str) -> None:
    def fit(generation: int) -> Any:
        model = small(family)
        model.fit(DATA.load().train, budget(4), place(generation), QUIET)
        return model.weights()

    torch.manual_seed(99)
    once = fit(0)
    assert same(once, fit(0))
    assert not same(once, fit(1))
    assert not same(once, small(family).weights())
