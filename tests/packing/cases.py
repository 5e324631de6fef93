"""Make requests of the smallest models, each from seeds and data of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_lab.engine.executor import Alone
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, FitRequest, SampleRequest, Samples, Weights
from tests.models.cases import DATA, QUIET, budget, prompts, small


def member(family: str, seed: int, **changes: Any) -> Diffusion:
    """Return a fresh model that is initialised from a seed."""
    with Seeds(seed, 0, "model", "fit/init").scoped():
        return small(family, **changes)


def fit_identity(model: Diffusion, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return an identity of the arguments that act on training."""
    training = {name: value for name, value in arguments.items() if name not in model.sampling_only}
    return {"class": type(model).__name__, "arguments": training}


def fit(family: str, seed: int, training: Budget | None = None, generation: int = 0, **changes: Any) -> FitRequest:
    """Return a request for a fit on rows that no other seed has, and on another number of rows."""
    model: Any = member(family, seed, **changes)
    rows = DATA.load().train.take(np.arange(seed, 40 - seed))
    place = Seeds(seed, generation, "model", "fit")
    return FitRequest(model, fit_identity(model, changes), rows, training or budget(), place, QUIET)


def sampling(
    family: str,
    seed: int,
    n: int = 5,
    generation: int = 0,
    role: str = "sample/all",
    weights: Weights | None = None,
    **changes: Any,
) -> SampleRequest:
    """Return a request for n samples."""
    model: Any = member(family, seed, **changes)
    if weights is not None:
        model.load(weights)
    settings = {name: value for name, value in changes.items() if name in model.sampling_only}
    place = Seeds(seed, 0, "model", role)
    return SampleRequest(model, fit_identity(model, changes), settings, generation, prompts(n), place, QUIET)


def fit_alone(request: FitRequest) -> None:
    """Fit a model as a run without other cells does."""
    Alone().fit(request)


def sample_alone(request: SampleRequest) -> Samples:
    """Return the samples of a run without other cells."""
    return Alone().sample(request)
