from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from collapse_lab.packing.requests import Fit, Sampling
from torch import Tensor

from collapse_lab.errors import Diverged
from collapse_lab.models import diffusion
from collapse_lab.nn.samplers import Sampler
from collapse_lab.packing.stack import fit_together, sample_together
from collapse_lab.types import Samples, Weights
from tests.models.cases import budget
from tests.packing.cases import fit, sampling

SEEDS = range(3)
LR = 1e-3


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything in float64. AdamW divides a gradient by its own size, or by 1e-8 where it is smaller: one that is
    rounding alone moves a weight in float32 (by up to LR / 30 here), and not in float64.
    """
    monkeypatch.setattr(diffusion, "as_float", lambda data: data.double() / 127.5 - 1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def distance(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def spoil(asked: Fit | Sampling, value: float) -> None:
    network: Any = asked.model
    torch.nn.init.constant_(network.unet.conv_out.bias, value)


def close(one: Tensor, other: Tensor) -> None:
    """To 1e-5 of the largest value: a network that has learnt nothing draws far outside of [-1, 1]."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(one.abs().max()))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("text2image", {"attention": (True, False)}),
        ("ddpm", {"objective": "v", "lr_schedule": "linear"}),
        ("ddpm", {"objective": "flow", "sampler": Sampler("FlowMatchEulerDiscreteScheduler", 2)}),
        ("ddim", {"attention": (False, True), "weight_decay": 0.1, "ema_decay": 0.0}),
    ],
)
def test_fits_together_are_those_alone(family: str, changes: dict[str, Any]) -> None:
    alone, packed = ([fit(family, seed, budget(steps=3), lr=LR, **changes) for seed in SEEDS] for _ in range(2))
    for each in alone:
        each.alone()
    assert fit_together(packed) == [None, None, None]
    for one, other in zip(alone, packed, strict=True):
        assert distance(one.model.weights(), other.model.weights()) < 1e-9
    assert distance(packed[0].model.weights(), packed[1].model.weights()) > LR


def test_in_single_precision_all_but_single_weights_agree() -> None:
    alone, packed = ([fit("ddpm", seed, lr=LR) for seed in SEEDS] for _ in range(2))
    for each in alone:
        each.alone()
    fit_together(packed)
    for one, other in zip(alone, packed, strict=True):
        found, expected = one.model.weights(), other.model.weights()
        apart = torch.cat([(found[name] - expected[name]).abs().flatten() for name in found])
        assert float(apart.quantile(0.99)) < 1e-7
        assert float(apart.max()) < LR / 10


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("clip", [None, 0.05])
def test_each_is_clipped_to_its_own_norm(clip: float | None) -> None:
    asked = budget(steps=3, gradient_clip=clip)
    alone, packed = ([fit("ddpm", seed, asked, lr=LR) for seed in SEEDS[:2]] for _ in range(2))
    for fits in (alone, packed):
        spoil(fits[1], 30.0)  # its gradients are far larger than the other's, which a common norm would shrink too
        fits[0].alone() if fits is alone else fit_together(fits)
    assert distance(alone[0].model.weights(), packed[0].model.weights()) < 1e-9


@pytest.mark.usefixtures("double")
def test_one_that_diverges_leaves_the_others_and_says_what_it_says_alone() -> None:
    alone, packed = ([fit("ddpm", seed, budget(steps=4), lr=LR) for seed in SEEDS] for _ in range(2))
    for fits in (alone, packed):
        spoil(fits[1], float("nan"))
    with pytest.raises(Diverged) as caught:
        alone[1].alone()
    first, second, third = fit_together(packed)
    assert (first, str(second), third) == (None, str(caught.value), None)
    for number in (0, 2):
        alone[number].alone()
        assert distance(alone[number].model.weights(), packed[number].model.weights()) < 1e-9


def test_the_fit_ends_when_all_have_diverged() -> None:
    packed = [fit("ddim", seed, budget(steps=10**6)) for seed in SEEDS[:2]]
    for each in packed:
        spoil(each, float("inf"))
    assert [str(each) for each in fit_together(packed)] == ["the loss was inf at step 0"] * 2


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        ("DDIMScheduler", {}),
        ("DDIMScheduler", {"eta": 1.0}),
        ("DDPMScheduler", {}),
        ("DPMSolverMultistepScheduler", {}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("EulerAncestralDiscreteScheduler", {}),
        ("HeunDiscreteScheduler", {}),
        ("UniPCMultistepScheduler", {}),
    ],
)
def test_samples_together_are_those_alone(
    scheduler: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion, "as_uint8", lambda images: images)
    asked = [
        sampling("ddpm", seed, sampler=Sampler(scheduler, 4, options), guidance_scale=scale, sampling_batch=3)
        for seed, scale in ((0, 1.0), (0, 2.0), (1, 3.5))
    ]
    alone = [each.alone() for each in asked]
    for one, other in zip(alone, sample_together(asked), strict=True):
        assert isinstance(other, Samples)
        close(one.data, other.data)
        assert (one.labels == other.labels).all()
    assert float((alone[0].data - alone[1].data).abs().max()) > 1e-3


@pytest.mark.parametrize(("family", "changes"), [("text2image", {"guidance_interval": (0.2, 0.8)}), ("ddim", {})])
def test_families_and_intervals(family: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "as_uint8", lambda images: images)
    asked = [sampling(family, seed, **changes) for seed in SEEDS]
    for one, other in zip([each.alone() for each in asked], sample_together(asked), strict=True):
        assert isinstance(other, Samples)
        close(one.data, other.data)
        assert one.captions.texts() == other.captions.texts()


def test_without_guidance_no_second_branch_is_computed() -> None:
    asked = [sampling("ddpm", seed, guidance_scale=1.0) for seed in SEEDS]
    rows: list[int] = []
    first: Any = asked[0].model
    first.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    sample_together(asked)
    assert rows == [5] * 4


def test_samples_that_are_not_finite_are_one_members_own() -> None:
    asked = [sampling("ddim", seed) for seed in SEEDS]
    spoil(asked[2], float("nan"))
    first, second, third = sample_together(asked)
    assert isinstance(first, Samples)
    assert isinstance(second, Samples)
    assert str(third) == "5 samples are not finite"
    assert torch.equal(first.data, asked[0].alone().data)
