from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.noising import RectifiedFlow
from collapse_lab.nn.samplers import Sampler

DDIM, DPM, FLOW = "DDIMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"
SHAPE = (3, 1, 8, 8)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def run(sampler: Sampler, denoise: Any, x: Tensor, training: Any, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return sampler.run(denoise, x, training, torch.Generator().manual_seed(seed), lambda: None)


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
    ).eval()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize(("name", "steps"), [(DDIM, 7), (DDIM, 20), (DPM, 7), (DPM, 20)])
def test_samples_are_those_of_diffusers_own_pipelines(
    unet: Any, name: str, steps: int, schedule: str, prediction: str
) -> None:
    training = diffusers.DDPMScheduler(beta_schedule=schedule, prediction_type=prediction)
    # The cosine schedule ends at a log-SNR of minus infinity, and diffusers advises to clip it
    clipped = {"lambda_min_clipped": -5.1} if name == DPM and schedule == "squaredcos_cap_v2" else {}
    scheduler = getattr(diffusers, name).from_config(training.config, **clipped)
    pipeline = (diffusers.DDIMPipeline if name == DDIM else diffusers.DDPMPipeline)(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        batch_size=SHAPE[0],
        generator=torch.Generator().manual_seed(5),
        num_inference_steps=steps,
        output_type="np",
    ).images
    ours = run(Sampler(name, steps), lambda x, t: unet(x, t).sample, noise(5), training.config)
    # A pipeline returns images in [0, 1], channels last
    ours = (ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_samples_of_noisy_ddim_are_those_of_diffusers_own_pipeline(unet: Any, eta: float) -> None:
    training = diffusers.DDPMScheduler()
    pipeline = diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler.from_config(training.config))
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(5)
    theirs = pipeline(batch_size=SHAPE[0], generator=generator, eta=eta, num_inference_steps=9, output_type="np").images
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(SHAPE, generator=generator)
    with torch.no_grad():
        ours = Sampler(DDIM, 9, {"eta": eta}).run(
            lambda x, t: unet(x, t).sample, x, training.config, generator, lambda: None
        )
    ours = (ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-5)


def test_the_exact_denoiser_of_a_normal_gives_normal_samples() -> None:
    # Of N(m, s^2) the noise in x_t is known, and the probability flow carries x_T to m + s x_T
    m, s = 0.3, 0.4
    training = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False)

    def exact(x: Tensor, t: Tensor) -> Tensor:
        a: Tensor = training.alphas_cumprod[t]
        return (1 - a).sqrt() * (x - a.sqrt() * m) / (a * s**2 + 1 - a)

    def error(name: str, steps: int) -> float:
        samples = run(Sampler(name, steps, {"timestep_spacing": "trailing"}), exact, noise(), training.config)
        return float((samples - (m + s * noise())).abs().max())

    coarse, fine, solver = error(DDIM, 20), error(DDIM, 200), error(DPM, 20)
    assert coarse < 0.15
    assert fine < coarse / 5  # because the method is of first order
    assert solver < coarse / 5  # because the solver is of second order


def test_the_exact_velocity_of_a_normal_gives_normal_samples() -> None:
    # x_t of N(m, s^2) is normal too, with mean (1 - t) m and variance (1 - t)^2 s^2 + t^2, and the flow is monotone
    m, s = 0.3, 0.4

    def exact(x: Tensor, t: Tensor) -> Tensor:
        u = t / 1000
        shift = (x - (1 - u) * m) / ((1 - u) ** 2 * s**2 + u**2)
        return u * shift - (m + (1 - u) * s**2 * shift)

    def error(name: str, steps: int) -> float:
        samples = run(Sampler(name, steps), exact, noise(), RectifiedFlow(1000).config)
        return float((samples - (m + s * noise())).abs().max())

    coarse, fine, solver = error(FLOW, 20), error(FLOW, 200), error(DPM, 20)
    assert coarse < 0.15
    assert fine < coarse / 5
    assert solver < coarse / 3
    assert error("FlowMatchHeunDiscreteScheduler", 20) < coarse / 3


def test_the_steps_of_a_flow_are_even() -> None:
    levels: list[float] = []

    def constant(x: Tensor, t: Tensor) -> Tensor:
        levels.append(float(t))
        return torch.full_like(x, 0.7)

    samples = run(Sampler(FLOW, 4, {"timestep_spacing": "trailing"}), constant, noise(), RectifiedFlow(1000).config)
    assert levels == [1000, 750, 500, 250]
    torch.testing.assert_close(samples, noise() - 0.7)


@pytest.mark.parametrize(("name", "calls"), [(DDIM, 6), ("HeunDiscreteScheduler", 11), ("PNDMScheduler", 15)])
def test_the_number_of_calls_of_the_network_is_known_in_advance(name: str, calls: int) -> None:
    counted: list[int] = []
    training = diffusers.DDPMScheduler().config
    Sampler(name, 6).run(lambda x, t: 0 * x, noise(), training, torch.Generator(), lambda: counted.append(1))
    assert len(counted) == len(Sampler(name, 6).prepared(training).timesteps) == calls


def test_every_step_is_reported_and_has_one_noise_level() -> None:
    levels: list[int] = []
    steps: list[int] = []
    training = diffusers.DDPMScheduler()

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        levels.append(int(t))
        return x

    Sampler(DDIM, 9).run(denoise, noise(), training.config, torch.Generator(), lambda: steps.append(1))
    assert len(levels) == len(steps) == 9
    assert levels == sorted(levels, reverse=True)


def test_a_stochastic_sampler_draws_from_its_generator_only() -> None:
    training = diffusers.DDPMScheduler()
    draws: list[Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(draws))
        draws.append(run(Sampler("DDPMScheduler", 5), lambda x, t: 0.1 * x, noise(), training.config, seed))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("name", "options", "draws"),
    [
        (DDIM, {}, False),
        (DDIM, {"eta": 0.0}, False),
        (DDIM, {"eta": 0.5}, True),
        ("DDPMScheduler", {}, True),
        (DPM, {}, False),
        (DPM, {"algorithm_type": "sde-dpmsolver++"}, True),
        ("EulerAncestralDiscreteScheduler", {}, True),
        ("EulerDiscreteScheduler", {}, False),
        ("HeunDiscreteScheduler", {}, False),
        ("PNDMScheduler", {}, False),
        ("UniPCMultistepScheduler", {}, False),
        (FLOW, {}, False),
        (FLOW, {"stochastic_sampling": True}, True),
    ],
)
def test_it_is_known_which_samplers_draw_noise_between_their_steps(
    name: str, options: dict[str, Any], draws: bool
) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    assert Sampler(name, 5, options).draws is draws
    assert torch.equal(before, torch.random.get_rng_state())


def test_options_reach_the_scheduler() -> None:
    training = diffusers.DDPMScheduler(clip_sample=True)
    clipped = run(Sampler(DDIM, 5), lambda x, t: 0 * x, noise(), training.config)
    free = run(Sampler(DDIM, 5, {"clip_sample": False}), lambda x, t: 0 * x, noise(), training.config)
    assert clipped.abs().max() <= 1
    assert free.abs().max() > 1


def test_an_option_of_none_keeps_the_schedulers_default() -> None:
    training = diffusers.DDPMScheduler().config
    plain, none = (
        run(Sampler(DDIM, 5, options), lambda x, t: 0.1 * x, noise(), training)
        for options in ({}, {"eta": None, "set_alpha_to_one": None})
    )
    assert torch.equal(plain, none)


@pytest.mark.parametrize(
    ("name", "training", "message"),
    [
        (DDIM, RectifiedFlow(1000).config, "DDIMScheduler does not sample .*=flow; give FlowMatchEulerDiscrete"),
        # This scheduler has flow sigmas, and stops before the last of them
        ("DEISMultistepScheduler", RectifiedFlow(1000).config, "does not sample .*=flow"),
        ("EulerDiscreteScheduler", RectifiedFlow(1000).config, "does not sample .* give FlowMatchEulerDiscrete"),
        (FLOW, diffusers.DDPMScheduler().config, "=eps or v; give DDIMScheduler or DPMSolverMultistepScheduler"),
        ("EDMEulerScheduler", diffusers.DDPMScheduler().config, "=eps or v; give DDIMScheduler"),
    ],
)
def test_a_scheduler_that_does_not_fit_the_objective_is_refused(name: str, training: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampler(name).prepared(training)


@pytest.mark.parametrize("name", [FLOW, DPM, "UniPCMultistepScheduler", "DPMSolverSinglestepScheduler"])
def test_schedulers_of_flow_matching_end_at_the_data(name: str) -> None:
    # The lines are straight and end in one point, so any solver reaches it
    def exact(x: Tensor, t: Tensor) -> Tensor:
        return (x - 0.3) / (t / 1000)

    samples = run(Sampler(name, 30), exact, noise(), RectifiedFlow(1000).config)
    torch.testing.assert_close(samples, torch.full(SHAPE, 0.3), rtol=0, atol=0.02)


def test_unknown_schedulers_and_options_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'DDIMScheduler'"):
        Sampler("DDIMSheduler")
    with pytest.raises(UserError, match=r"options\.etta: DDIMScheduler has no such option; did you mean 'eta'"):
        Sampler(DDIM, 5, {"etta": 1.0})
    with pytest.raises(UserError, match=r"options\.timestep_spacing: FlowMatchEuler.* has no such option"):
        Sampler(FLOW, 5, {"timestep_spacing": "leading"})
    with pytest.raises(UserError, match="DDIMScheduler refuses 2000 steps"):
        Sampler(DDIM, 2000).prepared(diffusers.DDPMScheduler().config)


def test_shapes_are_checked_while_testing() -> None:
    # The import hook of conftest.py checks shapes; without it this call would broadcast, or fail somewhere else
    with pytest.raises(Exception, match="noise"):
        run(Sampler(DDIM, 1), lambda x, t: x, noise().long(), diffusers.DDPMScheduler().config)
