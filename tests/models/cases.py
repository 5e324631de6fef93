"""Diffusion models of the smallest size, and images to train them on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.silent import Silent
from collapse_lab.models.ddim import DDIM
from collapse_lab.models.ddpm import DDPM
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.models.text2image import Text2Image
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec, Weights

DATA = Digits(reference_fraction=0.3, templates=["a handwritten {}"], limit=64)
QUIET = Silent()
F = TypeVar("F")


def place(generation: int = 0, role: str = "fit") -> Seeds:
    return Seeds(0, generation, "model", role)


def budget(steps: int = 6, batch_size: int = 8, device: str = "cpu", **changes: Any) -> Budget:
    return Budget(steps, batch_size, device=device, **changes)


SMALL: dict[str, Any] = {
    "channels": (8, 16),
    "attention": (False, False),
    "attention_head_dim": 8,
    "norm_groups": 4,
    "sampler": Sampler(steps=4),
}
FAMILIES = ("text2image", "ddpm", "ddim")
SETTINGS = {setting.name for setting in fields(Optimisation)}


def built(family: Callable[..., F], spec: Spec, arguments: Mapping[str, Any]) -> F:
    """Build a family as the engine does: initialised from its place alone.

    Settings of the optimisation may stand among the arguments by their own names, and change the family's default.
    """
    default: Optimisation = inspect.signature(family).parameters["optimisation"].default
    changed = {name: value for name, value in arguments.items() if name in SETTINGS}
    others = {name: value for name, value in arguments.items() if name not in SETTINGS}
    with place().child("init").scoped():
        return family(spec, **({"optimisation": replace(default, **changed)} | others))


def tiny(spec: Spec | None = None, **changes: Any) -> Text2Image:
    return built(Text2Image, spec or DATA.spec, SMALL | {"text_width": 16, "text_heads": 2} | changes)


def tiny_ddpm(spec: Spec | None = None, **changes: Any) -> DDPM:
    return built(DDPM, spec or DATA.spec, SMALL | changes)


def tiny_ddim(spec: Spec | None = None, **changes: Any) -> DDIM:
    return built(DDIM, spec or DATA.spec, SMALL | changes)


def small(family: str, spec: Spec | None = None, **changes: Any) -> Diffusion:
    """Build the smallest model of a family."""
    build: dict[str, Callable[..., Diffusion]] = {"text2image": tiny, "ddpm": tiny_ddpm, "ddim": tiny_ddim}
    return build[family](spec, **changes)


def fitted(generation: int = 0, steps: int = 6, start: Weights | None = None, **changes: Any) -> Text2Image:
    model = tiny(**changes)
    if start is not None:
        model.load(start)
    model.fit(DATA.load().train, budget(steps), place(generation), QUIET)
    return model


@cache
def weights() -> Weights:
    """Return the weights of one fit, which is shared by the tests."""
    return fitted().weights()


def loaded(**changes: Any) -> Text2Image:
    model = tiny(**changes)
    model.load(weights())
    return model


def conditions(texts: list[str]) -> Conditions:
    return Conditions(np.arange(len(texts), dtype=np.int64) % 10, Captions.of(texts))


def prompts(n: int = 5) -> Conditions:
    return conditions([DATA.spec.vocabulary[i % 10] for i in range(n)])


def draw(model: Diffusion, wanted: Conditions | None = None, generation: int = 0) -> Samples:
    return model.sample(wanted or prompts(), place(generation, "sample/all"), QUIET)


def same(one: Weights, other: Weights) -> bool:
    """Return whether two sets of weights are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def levels(one: Tensor, other: Tensor) -> int:
    """Return the largest difference of two sets of uint8 images."""
    return int((one.int() - other.int()).abs().max())
