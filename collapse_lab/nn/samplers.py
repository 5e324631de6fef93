"""The reverse process, by any of diffusers' schedulers that fits the training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.nn.noising import FLOW

Denoiser = Callable[[Tensor, Tensor], Tensor]
OURS = {"model_output", "timestep", "sample", "generator", "variance_noise", "return_dict"}  # of a scheduler's step


@dataclass(frozen=True)
class Sampler:
    """A diffusers scheduler by its class name, the number of its steps, and its own options.

    scheduler: `DDIMScheduler`, `DPMSolverMultistepScheduler` (DPM-Solver++, for every objective),
        `FlowMatchEulerDiscreteScheduler` (for objective=flow), or any other that diffusers has.
    options: arguments of the scheduler, or of its step: `eta` of DDIM is 0 (deterministic) to 1 (as noisy as DDPM).
        One that is None is left to the scheduler.

    Raises:
        UserError: no such scheduler or option, steps < 1.
    """

    scheduler: str = "DDIMScheduler"
    steps: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import diffusers

        known = [name for name in dir(diffusers) if name.endswith("Scheduler") and not name.startswith("Flax")]
        if self.scheduler not in known:
            raise UserError(
                f"model.sampler.scheduler '{self.scheduler}' is no diffusers scheduler; "
                f"{did_you_mean(self.scheduler, known)}"
            )
        if self.steps < 1:
            raise UserError(f"model.sampler.steps is 1 or more; got {self.steps}")
        for name in self._options.keys() - self._of_step:
            if name not in _parameters(self._kind):
                raise UserError(
                    f"model.sampler.options.{name}: {self.scheduler} has no such option; "
                    f"{did_you_mean(name, {*_parameters(self._kind), *self._of_step})} (null leaves it out)"
                )

    def run(
        self,
        denoise: Denoiser,
        noise: Float[Tensor, "n ..."],
        training: Mapping[str, Any],
        generator: torch.Generator | list[torch.Generator],
        on_step: Callable[[], None],
    ) -> Float[Tensor, "n ..."]:
        """Samples, from noise at the highest level.

        denoise: (x_t, t) to the prediction that `training`, the `config` of the noising, names; t lies on the CPU.
        generator: of the noise between the steps; or one for each entry of x's first axis, which draws what it would
            draw for that entry alone.
        """
        scheduler = self.prepared(training)
        extra = {name: value for name, value in self._options.items() if name in self._of_step}
        if "generator" in _parameters(scheduler.step):
            extra["generator"] = generator
        scaled = hasattr(scheduler, "scale_model_input")  # flow matching has no scale
        x: Tensor = noise * getattr(scheduler, "init_noise_sigma", 1.0)
        for t in scheduler.timesteps:
            predicted = denoise(scheduler.scale_model_input(x, t) if scaled else x, t)
            x = scheduler.step(predicted, t, x, **extra).prev_sample
            on_step()
        return x

    def prepared(self, training: Mapping[str, Any]) -> Any:
        """A scheduler whose `timesteps` are those of the network's calls, one after another.

        Raises:
            UserError: it does not fit what `training` predicts, or refuses its options or the number of steps.
        """
        flow = training["prediction_type"] == FLOW
        if not self._fits(flow):
            raise self._misfit(flow)
        takes = _parameters(self._kind)
        options = {name: value for name, value in self._options.items() if name not in self._of_step}
        if flow and "use_flow_sigmas" in takes:
            options["use_flow_sigmas"] = True
        if "lambda_min_clipped" in takes and training.get("beta_schedule") == "squaredcos_cap_v2":
            # The cosine schedule ends at a log-SNR of minus infinity, and a solver in log-SNR has to begin above it
            options.setdefault("lambda_min_clipped", -5.1)
        evenly = "sigmas" in _parameters(self._kind.set_timesteps) and flow and "use_flow_sigmas" not in takes
        try:
            known = {name: value for name, value in training.items() if name in takes or not flow}
            scheduler = self._kind.from_config(known, **options)
            # Left on the CPU: a step that reads its coefficients from a GPU would wait for it
            if evenly:
                scheduler.set_timesteps(sigmas=np.linspace(1, 1 / self.steps, self.steps))
            else:
                scheduler.set_timesteps(self.steps)
        except (ValueError, NotImplementedError, ImportError) as error:
            raise UserError(
                f"model.sampler: {self.scheduler} refuses {self.steps} steps and {options}: {error}"
            ) from error
        if flow and float(scheduler.sigmas[-1]) > 0:  # DEIS of diffusers 0.42, for one
            raise self._misfit(flow)
        return scheduler

    @property
    def _kind(self) -> Any:
        import diffusers

        return getattr(diffusers, self.scheduler)

    @property
    def _options(self) -> dict[str, Any]:
        given = {name: value for name, value in self.options.items() if value is not None}
        if self.scheduler.startswith("FlowMatch") and given.get("timestep_spacing") == "trailing":
            del given["timestep_spacing"]  # the one spacing that there is: from pure noise, evenly
        return given

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
