"""The reverse process, by any scheduler of diffusers that fits the training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.nn.noising import FLOW
from collapse_lab.types import Times

# (x_t, t) -> the network's prediction, of the shape of x_t
Denoiser = Callable[[Tensor, Tensor], Tensor]
# Arguments of a scheduler's step that `Sampler.run` gives itself, so they are no options
OURS = {"model_output", "timestep", "sample", "generator", "variance_noise", "return_dict"}


@dataclass(frozen=True)
class Start:
    """Say what samples start from in image-to-image (arXiv:2108.01073).

    Attributes:
        x: The data (n, …), in the range that the network was trained in.
        strength: The share of the steps that is computed, in (0, 1]. The data get the noise of the first of them.
    """

    x: Tensor
    strength: float

    def noised(self, scheduler: Any, noise: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return the times of the steps that are computed, and the data with the noise of the first one.

        Args:
            scheduler: A scheduler with its times set.
            noise: Standard normal noise (n, …).
            steps: The number of steps that the scheduler was set to. It may have more times than steps.
        """
        first = (steps - whole_steps(steps, self.strength)) * getattr(scheduler, "order", 1)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        times: Tensor = scheduler.timesteps[first:]
        return times, scheduler.add_noise(self.x, noise, times[:1].expand(len(noise)))


def whole_steps(steps: int, strength: float) -> int:
    """Return how many of the steps image-to-image of a strength computes, as diffusers counts them."""
    return min(int(steps * strength), steps)


@dataclass(frozen=True)
class Sampler:
    """Sample by a scheduler of diffusers, with a number of steps and the scheduler's own options.

    Args:
        scheduler: The name of a class of diffusers: `DDIMScheduler`, `DPMSolverMultistepScheduler` (DPM-Solver++, for
            every objective), `FlowMatchEulerDiscreteScheduler` (for objective=flow), or any other scheduler.
        steps: The number of steps; 1 or more.
        options: Arguments of the scheduler, or of its step: `eta` of DDIM is 0 (deterministic) to 1 (as noisy as
            DDPM). An option that is None keeps the scheduler's default.

    Raises:
        UserError: the scheduler or an option does not exist.
    """

    scheduler: str = "DDIMScheduler"
    steps: Times = 20
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import diffusers

        known = [name for name in dir(diffusers) if name.endswith("Scheduler") and not name.startswith("Flax")]
        if self.scheduler not in known:
            raise UserError(
                f"model.sampler.scheduler '{self.scheduler}' is no scheduler of diffusers; "
                f"{did_you_mean(self.scheduler, known)}"
            )
        for name in self._options.keys() - self._of_step:
            if name not in _parameters(self._kind):
                raise UserError(
                    f"model.sampler.options.{name}: {self.scheduler} has no such option; "
                    f"{did_you_mean(name, {*_parameters(self._kind), *self._of_step})} (null leaves the option out)"
                )

    def run(
        self,
        denoise: Denoiser,
        noise: Float[Tensor, "n ..."],
        training: Mapping[str, Any],
        generator: torch.Generator | list[torch.Generator],
        on_step: Callable[[], None],
        start: Start | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return samples that start from noise at the highest level, or from data with less noise.

        Args:
            denoise: The map from (x_t, t) to the prediction that `training` names; t lies where the noise does.
            noise: Standard normal noise (n, …).
            training: The `config` of the noising that the network was trained with.
            generator: The generator of the noise between the steps; or a list of one generator for each entry of the
                noise's first axis, each of which draws what it would draw for that entry alone.
            on_step: Called after each call of the network, and at once for each step that `start` leaves out.
            start: The data that the samples start from; None starts from noise alone.
        """
        scheduler = self.prepared(training)
        extra: dict[str, Any] = dict(self.step_options)
        if "generator" in _parameters(scheduler.step):
            extra["generator"] = generator
        scaled = hasattr(scheduler, "scale_model_input")  # schedulers of flow matching have no scale
        if start is None:
            times, x = scheduler.timesteps, noise * getattr(scheduler, "init_noise_sigma", 1.0)
        else:
            times, x = start.noised(scheduler, noise, self.steps)
            for _ in range(len(scheduler.timesteps) - len(times)):
                on_step()
        # The network takes the times where its images are, all copied at once, because a copy for each step would wait
        # for the GPU; the scheduler looks its coefficients up by times on the CPU
        for t, there in zip(times, times.to(noise.device), strict=True):
            predicted = denoise(scheduler.scale_model_input(x, t) if scaled else x, there)
            x = scheduler.step(predicted, t, x, **extra).prev_sample
            on_step()
        return x

    def prepared(self, training: Mapping[str, Any]) -> Any:
        """Return a scheduler whose `timesteps` are the times of the network's calls, in their order.

        Args:
            training: The `config` of the noising that the network was trained with.

        Raises:
            UserError: the scheduler does not fit what the network predicts, or refuses its options or the number of
                steps.
        """
        flow = training["prediction_type"] == FLOW
        if not self._fits(flow):
            raise self._misfit(flow)
        takes = _parameters(self._kind)
        options = {name: value for name, value in self._options.items() if name not in self._of_step}
        if flow and "use_flow_sigmas" in takes:
            options["use_flow_sigmas"] = True
        if "lambda_min_clipped" in takes and training.get("beta_schedule") == "squaredcos_cap_v2":
            # The cosine schedule ends at a log-SNR of minus infinity, so a solver in log-SNR has to begin above it
            options.setdefault("lambda_min_clipped", -5.1)
        evenly = self.spaces_evenly(training)
        try:
            known = {name: value for name, value in training.items() if name in takes or not flow}
            scheduler = self._kind.from_config(known, **options)
            # A step that reads its coefficients from a GPU would wait for the GPU, so leave them on the CPU
            if evenly:
                scheduler.set_timesteps(sigmas=np.linspace(1, 1 / self.steps, self.steps))
            else:
                scheduler.set_timesteps(self.steps)
        except (ValueError, NotImplementedError, ImportError) as error:
            raise UserError(
                f"model.sampler: {self.scheduler} refuses {self.steps} steps and {options}: {error}"
            ) from error
        # Some schedulers, such as DEIS of diffusers 0.42, stop before the data
        if flow and float(scheduler.sigmas[-1]) > 0:
            raise self._misfit(flow)
        return scheduler

    def spaces_evenly(self, training: Mapping[str, Any]) -> bool:
        """Return whether the scheduler is given noise levels that lie evenly between 1 and 1 / steps.

        Args:
            training: The `config` of the noising that the network was trained with.
        """
        flow = training["prediction_type"] == FLOW
        return (
            flow
            and "sigmas" in _parameters(self._kind.set_timesteps)
            and "use_flow_sigmas" not in _parameters(self._kind)
        )

    @cached_property
    def draws(self) -> bool:
        """Return whether noise is drawn between the steps, found out by sampling one number."""
        flow = self.scheduler.startswith("FlowMatch")
        training = {"prediction_type": FLOW if flow else "epsilon", "num_train_timesteps": 1000}
        generator = torch.Generator().manual_seed(0)
        before = generator.get_state()
        self.run(lambda x, _: torch.zeros_like(x), torch.zeros(1, 1, 1, 1), training, generator, lambda: None)
        return not torch.equal(before, generator.get_state())

    @property
    def step_options(self) -> Mapping[str, Any]:
        """Return the options that are arguments of the scheduler's step."""
        return {name: value for name, value in self._options.items() if name in self._of_step}

    @property
    def _kind(self) -> Any:
        import diffusers

        return getattr(diffusers, self.scheduler)

    @property
    def _options(self) -> dict[str, Any]:
        options = {name: value for name, value in self.options.items() if value is not None}
        if self.scheduler.startswith("FlowMatch") and options.get("timestep_spacing") == "trailing":
            del options["timestep_spacing"]  # these schedulers always space evenly from pure noise, and have no option
        return options

    @property
    def _of_step(self) -> frozenset[str]:
        return frozenset(_parameters(self._kind.step)) - OURS if hasattr(self._kind, "step") else frozenset()

    def _fits(self, flow: bool) -> bool:
        takes = _parameters(self._kind)
        if flow:
            return self.scheduler.startswith("FlowMatch") or "use_flow_sigmas" in takes
        return {"trained_betas", "prediction_type"} <= takes.keys()

    def _misfit(self, flow: bool) -> UserError:
        objective = "flow" if flow else "eps or v"
        first = "FlowMatchEulerDiscreteScheduler" if flow else "DDIMScheduler"
        return UserError(
            f"model.sampler.scheduler {self.scheduler} does not sample a model of model.objective={objective}; give "
            f"{first} or DPMSolverMultistepScheduler"
        )


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
