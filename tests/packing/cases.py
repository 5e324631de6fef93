"""Members of packs: the smallest models, each from seeds and data of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from collapse_lab.packing.requests import Fit, Sampling

from collapse_lab.engine.lab import ModelPart, Part
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Weights
from tests.models.cases import DATA, QUIET, budget, prompts, small


def member(family: str, seed: int, **changes: Any) -> Diffusion:
    with Seeds(seed, 0, "model", "fit/init").scoped():
        return small(family, **changes)


def part(model: Diffusion, **arguments: Any) -> ModelPart:
    """An identity that says what the model was built with."""
    kind = type(model)
    return ModelPart("model", Part(kind, {"class": kind.__name__, "arguments": arguments}), kind.sampling_only)


def fit(family: str, seed: int, asked: Budget | None = None, generation: int = 0, **changes: Any) -> Fit:
    """On rows of its own, and as many as no other seed has."""
    model: Any = member(family, seed, **changes)
    rows = DATA.load().train.take(np.arange(seed, 40 - seed))
    place = Seeds(seed, generation, "model", "fit")
    return Fit(part(model, **changes), model, rows, asked or budget(), place, QUIET)


def sampling(
    family: str,
    seed: int,
    n: int = 5,
    generation: int = 0,
    role: str = "sample/all",
    weights: Weights | None = None,
    **changes: Any,
) -> Sampling:
    model: Any = member(family, seed, **changes)
    if weights is not None:
        model.load(weights)
    place = Seeds(seed, 0, "model", role)
    return Sampling(part(model, **changes), model, generation, prompts(n), place, QUIET)
