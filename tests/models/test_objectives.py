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
    """Return images of which half are black and half are white, with labels and captions that say which."""
    labels = np.arange(n) % 2
    data = torch.from_numpy(labels * 255).to(torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).clone()
    return Samples(data, labels, Captions.of(["white" if label else "black" for label in labels]))


@pytest.mark.parametrize(
    ("family", "objective"), [("text2image", "flow"), ("ddpm", "eps"), ("ddpm", "flow"), ("ddim", "v")]
)
def test_families_learn_with_every_objective(family: str, objective: str) -> None:
    model = small(family, SPEC, lr=5e-3, ema_decay=0.9, objective=objective, sampler=Sampler(SOLVER, 10))
    model.fit(shades(), budget(steps=100, batch_size=16), place(), QUIET)
    wanted = conditions(["black", "white"] * 16)
    wanted.labels[:] %= 2
    means = draw(model, wanted).data.float().mean((1, 2, 3))
    if family == "ddim":  # because it depends on no condition, sort the samples by their brightness
        low, high = means[means < 127], means[means > 127]
        assert min(len(low), len(high)) >= 4
        assert low.mean() < 85 < 170 < high.mean()
    else:
        assert means[::2].mean() < 85 < 170 < means[1::2].mean()


def test_the_loss_of_ddim_is_the_one_configured() -> None:
    def loss(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        model = small("ddim", loss=name)
        model.begin(DATA.load().train, budget(0), place())
        value = model.training_step(torch.arange(8))
        noise = place().child("noise").torch()
        x, t = as_float(DATA.load().train.data[:8]), model.noising.draw(8, noise)
        predicted, target = model._denoise(x, torch.empty(8, 0), t, torch.randn(x.shape, generator=noise))
        return value, predicted - target

    squared, error = loss("mse")
    absolute, _ = loss("mae")
    torch.testing.assert_close(squared, error.square().mean())
    torch.testing.assert_close(absolute, error.abs().mean())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", ["eps", "flow"])
def test_denoising_losses_are_squared_errors_at_the_given_times(family: str, objective: str) -> None:
    model = small(family, objective=objective, sampler=Sampler(SOLVER, 4), sampling_batch=5)
    rows = DATA.load().reference.take(np.arange(12))
    times, noise = torch.linspace(0, 0.99, 12).double(), torch.randn(rows.data.shape, generator=place().torch())
    losses = model.denoising_losses(rows, times, noise)
    with torch.no_grad():
        t = model.noising.at(times)
        noisy = model.noising.add_noise(as_float(rows.data), noise, t)
        predicted = model.predict(noisy, t, model.embed(model.condition(rows)[:]))
        wanted = (predicted - model.noising.target(as_float(rows.data), noise, t)).square().flatten(1).mean(1)
    torch.testing.assert_close(losses, wanted, rtol=1e-4, atol=1e-5)


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
    model._budget = budget(steps=20)
    configured = model.optimiser_of(model.parameters(), fused=False)
    rates = []
    for _ in range(20):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0, 0.05, *(0.1 * share((step - 2) / 18) for step in range(2, 20))])


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("ddpm", {"objective": "flow"}, "DDIMScheduler does not sample .* give FlowMatchEulerDiscreteScheduler"),
        ("ddim", {"sampler": Sampler("FlowMatchEulerDiscreteScheduler")}, "objective=eps or v; give DDIMScheduler"),
        ("ddim", {"log_snr_end": 9.0}, "log-SNR falls"),
        ("ddim", {"timesteps": 3}, "refuses 4 steps"),
        ("text2image", {"ema_decay": None}, r"model=text2image keeps a moving average .*ema_decay is null; give a num"),
        ("ddim", {"ema_decay": None}, r"model=ddim keeps a moving average"),
        ("ddpm", {"guidance_interval": (0.9, 0.1)}, r"model\.guidance_interval is \[low, high\]"),
        ("ddpm", {"norm_groups": 3}, r"model\.norm_groups 3 does not divide"),
    ],
)
def test_arguments_that_do_not_fit_each_other_are_refused(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(family, **changes)


@pytest.mark.parametrize("family", ["ddpm", "ddim"])
def test_equal_places_give_equal_fits_and_other_places_give_others(family: str) -> None:
    def fit(generation: int) -> Any:
        model = small(family)
        model.fit(DATA.load().train, budget(4), place(generation), QUIET)
        return model.weights()

    torch.manual_seed(99)
    once = fit(0)
    assert same(once, fit(0))
    assert not same(once, fit(1))
    assert not same(once, small(family).weights())
