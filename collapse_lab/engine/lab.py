"""Everything that one run is made of, built and checked, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from collapse_lab.engine.fitting import Training
from collapse_lab.engine.population import Population
from collapse_lab.mixing.base import Policy
from collapse_lab.sizes import Sizes, size_at
from collapse_lab.storage.store import Store
from collapse_lab.types import (
    Conditions,
    Curation,
    Dataset,
    GenerativeModel,
    Metric,
    Probe,
    PromptSet,
    RealData,
    Spec,
)


@dataclass(frozen=True)
class Part:
    """A configured object and its identity: the class, its version and every argument, defaults included."""

    build: Callable[..., Any]
    identity: Mapping[str, Any]

    def without(self, names: frozenset[str]) -> dict[str, Any]:
        """The identity less some arguments."""
        arguments = {k: v for k, v in self.identity["arguments"].items() if k not in names}
        return {**self.identity, "arguments": arguments}


@dataclass(frozen=True)
class ModelPart:
    """A generative family as configured for one member of the population.

    schedules: arguments that change over the generations, each a value per generation, the last of which holds on.
    """

    name: str
    part: Part
    sampling_only: frozenset[str]
    schedules: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def build(self, spec: Spec, generation: int) -> GenerativeModel:
        """The model of one generation, before it is fitted or loaded."""
        model: GenerativeModel = self.part.build(spec, **self._scheduled(generation))
        return model

    @cached_property
    def fit_identity(self) -> dict[str, Any]:
        """What a fit depends on: all but the arguments that act after training."""
        return self.part.without(self.sampling_only)

    def sample_identity(self, generation: int) -> dict[str, Any]:
        """What sampling depends on besides the fit."""
        arguments = {**self.part.identity["arguments"], **self._scheduled(generation)}
        return {name: arguments[name] for name in sorted(self.sampling_only & arguments.keys())}

    def _scheduled(self, generation: int) -> dict[str, Any]:
        return {name: values[min(generation, len(values) - 1)] for name, values in self.schedules.items()}


@dataclass(frozen=True)
class Prompts:
    """The prompt sets of a run.

    retrain: names the set that generations after 0 are trained on, and whose samples enter the pool.
    base: names the set that generation 0 is trained on; None means every real row. Rows outside it are never
        trained on, so that prompts can be held out for good.
    """

    sets: Mapping[str, PromptSet]
    retrain: str
    base: str | None = None


@dataclass(frozen=True)
class Lab:
    """The composed experiment. `generations` counts the retrainings after generation 0.

    n_train: rows of the training set of each generation.
    n_samples: what the model of the generation before samples for it; where there are metrics of feature spaces, the
        same number in every generation.
    """

    seed: int
    generations: int
    n_train: Sizes
    n_samples: Sizes
    device: str
    dataset: Dataset
    models: list[ModelPart]
    population: Population
    mixing: Policy
    curation: Curation
    curation_identity: Mapping[str, Any]
    prompts: Prompts
    extractors: Mapping[str, Part]
    metrics: Mapping[str, tuple[Metric, Mapping[str, Any]]]
    probes: Mapping[str, tuple[Probe, Mapping[str, Any]]]
    training: Training
    store: Store

    @cached_property
    def real(self) -> RealData:
        return self.dataset.load()

    @cached_property
    def trainable(self) -> np.ndarray:
        """Numbers of the train rows that may be trained on at all."""
        if self.prompts.base is None:
            return np.arange(len(self.real.train))
        return np.flatnonzero(self.members_of(self.prompts.base)[0])

    def sampled_by(self, generation: int) -> int:
        """How many samples a generation makes for each prompt set: what the next one may train on."""
        return size_at(self.n_samples, generation + 1)

    def conditions(self, subset: str, n: int) -> Conditions:
        """What is sampled for one prompt set."""
        return self.prompts.sets[subset].conditions(n, self.real.train, self.dataset.spec)

    def members_of(self, subset: str) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the train and of the reference rows that belong to one prompt set."""
        prompts = self.prompts.sets[subset]
        return prompts.member(self.real.train), prompts.member(self.real.reference)
