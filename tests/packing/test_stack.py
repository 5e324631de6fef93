from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from collapse_lab.errors import Diverged
from collapse_lab.nn import pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.packing.stack import fit_together, sample_together
from collapse_lab.types import FitRequest, SampleRequest, Samples, Weights
from tests.models.cases import budget
from tests.packing.cases import fit, fit_alone, sample_alone, sampling

SEEDS = range(3)
LR = 1e-3


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute everything in float64.

    AdamW divides a gradient by its own size, or by 1e-8 where it is smaller. So a gradient that is rounding alone moves
    a weight in float32 (by up to LR / 30 here), and not in float64.
    """
    monkeypatch.setattr(pixels, "as_float", lambda data: data.double() / 127.5 - 1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def distance(one: Weights, other: Weights) -> float:
    """Return the largest difference of two sets of weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def spoil(request: FitRequest | SampleRequest, value: float) -> None:
    network: Any = request.model
    torch.nn.init.constant_(network.unet.conv_out.bias, value)


@pytest.fixture
def unquantised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return samples as they are computed, before they become grey levels."""
    monkeypatch.setattr(pixels, "as_uint8", lambda images: images)


def close(one: Tensor, other: Tensor, bound: float = 1e-9) -> None:
    """Assert that samples in float64 are equal to 1e-9 of the largest value.

    A network that has learnt nothing draws far outside of [-1, 1], and magnifies rounding errors. So in float32 the
    difference would depend on the CPU's kernels.
    """
    assert one.dtype == other.dtype == torch.float64
    torch.testing.assert_close(one, other, rtol=0, atol=bound * float(one.abs().max()))


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
def test_models_fitted_together_get_the_weights_that_they_get_alone(family: str, changes: dict[str, Any]) -> None:
    alone, packed = ([fit(family, seed, budget(steps=3), lr=LR, **changes) for seed in SEEDS] for _ in range(2))
    for request in alone:
        fit_alone(request)
    assert fit_together(packed) == [None, None, None]
    for one, other in zip(alone, packed, strict=True):
        assert distance(one.model.weights(), other.model.weights()) < 1e-9
    assert distance(packed[0].model.weights(), packed[1].model.weights()) > LR


@pytest.mark.usefixtures("double")
def test_parts_that_a_warm_fit_freezes_stay_as_they_are_in_a_pack() -> None:
    arguments: dict[str, Any] = {"freeze": ["text_encoder"], "weight_decay": 0.1, "finetune_lr": LR}
    alone, packed = (
        [fit("text2image", seed, budget(steps=3, warm=True), generation=1, **arguments) for seed in SEEDS]
        for _ in range(2)
    )
    before = [request.model.weights()["text.words.weight"].clone() for request in packed]
    for request in alone:
        fit_alone(request)
    assert fit_together(packed) == [None, None, None]
    for one, other, words in zip(alone, packed, before, strict=True):
        assert distance(one.model.weights(), other.model.weights()) < 1e-9
        assert torch.equal(other.model.weights()["text.words.weight"], words)


def test_in_single_precision_99_percent_of_the_weights_agree() -> None:
    alone, packed = ([fit("ddpm", seed, lr=LR) for seed in SEEDS] for _ in range(2))
    for request in alone:
        fit_alone(request)
    fit_together(packed)
    for one, other in zip(alone, packed, strict=True):
        weights, expected = one.model.weights(), other.model.weights()
        differences = torch.cat([(weights[name] - expected[name]).abs().flatten() for name in weights])
        largest = max(float(value.abs().max()) for value in weights.values())
        assert float(differences.quantile(0.99)) < torch.finfo(torch.float32).eps * largest
        # AdamW moves a weight by one LR at most also where the gradient is rounding alone, which depends on the kernels
        assert float(differences.max()) < LR


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("clip", [None, 0.05])
def test_each_member_is_clipped_to_its_own_norm(clip: float | None) -> None:
    training = budget(steps=3, gradient_clip=clip)
    alone, packed = ([fit("ddpm", seed, training, lr=LR) for seed in SEEDS[:2]] for _ in range(2))
    for fits in (alone, packed):
        spoil(fits[1], 30.0)  # its gradients are far larger than the other's, which a common norm would shrink too
        fit_alone(fits[0]) if fits is alone else fit_together(fits)
    assert distance(alone[0].model.weights(), packed[0].model.weights()) < 1e-9


@pytest.mark.usefixtures("double")
def test_a_member_that_diverges_changes_no_other_and_gives_the_reason_that_it_gives_alone() -> None:
    alone, packed = ([fit("ddpm", seed, budget(steps=4), lr=LR) for seed in SEEDS] for _ in range(2))
    for fits in (alone, packed):
        spoil(fits[1], float("nan"))
    with pytest.raises(Diverged) as caught:
        fit_alone(alone[1])
    first, second, third = fit_together(packed)
    assert (first, str(second), third) == (None, str(caught.value), None)
    for number in (0, 2):
        fit_alone(alone[number])
        assert distance(alone[number].model.weights(), packed[number].model.weights()) < 1e-9


def test_a_fit_ends_when_all_members_have_diverged() -> None:
    packed = [fit("ddim", seed, budget(steps=10**6)) for seed in SEEDS[:2]]
    for request in packed:
        spoil(request, float("inf"))
    assert [str(diverged) for diverged in fit_together(packed)] == ["the loss was inf at step 0"] * 2


@pytest.mark.usefixtures("double", "unquantised")
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
        # With both its second order and its corrector, diffusers' UniPC cannot compute in float64
        ("UniPCMultistepScheduler", {"solver_order": 1}),
        ("UniPCMultistepScheduler", {"disable_corrector": [0, 1, 2, 3]}),
    ],
)
def test_models_sampled_together_give_the_samples_that_they_give_alone(scheduler: str, options: dict[str, Any]) -> None:
    requests = [
        sampling("ddpm", seed, sampler=Sampler(scheduler, 4, options), guidance_scale=scale, sampling_batch=3)
        for seed, scale in ((0, 1.0), (0, 2.0), (1, 3.5))
    ]
    alone = [sample_alone(request) for request in requests]
    for one, other in zip(alone, sample_together(requests), strict=True):
        assert isinstance(other, Samples)
        close(one.data, other.data)
        assert (one.labels == other.labels).all()
    assert float((alone[0].data - alone[1].data).abs().max()) > 1e-3


@pytest.mark.usefixtures("double", "unquantised")
@pytest.mark.parametrize(("family", "changes"), [("text2image", {"guidance_interval": (0.2, 0.8)}), ("ddim", {})])
def test_every_family_and_a_guidance_interval_are_sampled_together_as_alone(
    family: str, changes: dict[str, Any]
) -> None:
    requests = [sampling(family, seed, **changes) for seed in SEEDS]
    for one, other in zip([sample_alone(request) for request in requests], sample_together(requests), strict=True):
        assert isinstance(other, Samples)
        close(one.data, other.data)
        assert one.captions.texts() == other.captions.texts()


def test_without_guidance_no_second_branch_is_computed() -> None:
    requests = [sampling("ddpm", seed, guidance_scale=1.0) for seed in SEEDS]
    rows: list[int] = []
    first: Any = requests[0].model
    first.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    sample_together(requests)
    assert rows == [5] * 4


@pytest.mark.usefixtures("double", "unquantised")
def test_samples_that_are_not_finite_end_one_member_alone() -> None:
    requests = [sampling("ddim", seed) for seed in SEEDS]
    spoil(requests[2], float("nan"))
    first, second, third = sample_together(requests)
    assert isinstance(first, Samples)
    assert isinstance(second, Samples)
    assert str(third) == "5 samples are not finite"
    close(first.data, sample_alone(requests[0]).data)
    close(second.data, sample_alone(requests[1]).data)
