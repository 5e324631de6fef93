"""Make small labs whose extractors and metrics record how they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.lab import Component, Lab
from collapse_lab.engine.plan import Planner, Step
from collapse_lab.engine.ruler import Reading, Ruler
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.work import Work
from collapse_lab.images import as_float
from collapse_lab.types import (
    Estimate,
    FeatureSet,
    GenerativeModel,
    Metric,
    Progress,
    RealData,
    Samples,
    Spec,
    Split,
    Weights,
)
from tests.standins import Chain


@dataclass
class Flat:
    """Embed a sample by its pixels times a scale, in `width` columns; count the rows of each call.

    Attributes:
        scale: what the pixels are multiplied by.
        width: how many pixels are kept; None means all of them.
        rows: the number of rows of each call of `extract`.
    """

    version: ClassVar[int] = 1

    scale: float = 1.0
    width: int | None = None
    rows: list[int] = field(default_factory=list)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"scale": self.scale}

    def extract(self, samples: Samples) -> FeatureSet:
        self.rows.append(len(samples))
        values = as_float(samples.data).flatten(1)[:, : self.width] * self.scale
        return FeatureSet(values, torch.from_numpy(samples.labels))


class Centred:
    """Embed a sample by its pixels less the mean of the training images, which `fit` finds.

    Args:
        calls: "fit" and "load" are appended here, in the order in which the methods are called.
    """

    version: ClassVar[int] = 1

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self._mean: Tensor | None = None

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        if self._mean is None:
            raise AssertionError("the fingerprint of a trained extractor needs its weights")
        return {"mean": float(self._mean.mean())}

    def fit(self, real: RealData, progress: Progress) -> None:
        self._calls.append("fit")
        self._mean = as_float(real.train.data).flatten(1).mean(0)

    def weights(self) -> Weights:
        assert self._mean is not None
        return {"mean": self._mean}

    def load(self, weights: Weights) -> None:
        self._calls.append("load")
        self._mean = weights["mean"]

    def extract(self, samples: Samples) -> FeatureSet:
        assert self._mean is not None
        return FeatureSet(as_float(samples.data).flatten(1) - self._mean, torch.from_numpy(samples.labels))


class Classifier(Centred):
    """Embed a sample like `Centred`, and give every class the same probability.

    Args:
        calls: as of `Centred`.
        seed: the seed of its training.
    """

    def __init__(self, calls: list[str], seed: int = 0) -> None:
        super().__init__(calls)
        self.seed = seed

    def log_probabilities(self, samples: Samples) -> Tensor:
        return torch.full((len(samples), 10), -float(np.log(10)))


@dataclass
class Recorder:
    """Return the same estimates for every call, and keep the feature sets of each call.

    Attributes:
        estimates: what a call returns; an empty mapping means {"mean": the mean of the generated values}.
        against: the split of the real rows.
        floored: whether the metric has a floor.
        features: the feature spaces of the metric; None means all of them.
        calls: (generated, real) of each call.
        draws: the first random number of each call.
    """

    version: ClassVar[int] = 1

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    against: Split = "reference"
    floored: bool = True
    features: Sequence[str] | None = None
    calls: list[tuple[FeatureSet, FeatureSet]] = field(default_factory=list)
    draws: list[float] = field(default_factory=list)

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        self.calls.append((generated, real))
        self.draws.append(float(rng.random()))
        return self.estimates or {"mean": Estimate(float(generated.values.double().mean()))}


def component(extractor: Any, name: str = "extractor", **arguments: Any) -> Component:
    """Return a component that gives an extractor that is already built, or for a seed another one of its class."""

    def build(spec: Spec, seed: int | None = None) -> Any:
        return extractor if seed is None else type(extractor)([], seed)

    return Component(build, {"class": f"tests.{name}", "version": 1, "arguments": arguments})


def lab_with(
    folder: Path, extractors: Mapping[str, Any], metrics: Mapping[str, Any] | None = None, **changes: Any
) -> Lab:
    """Return a lab of a two-generation chain with these extractors and metrics, and other changed fields."""
    lab = Chain(folder, generations=2).lab()
    lab.store.open()
    components = {name: component(extractor, name) for name, extractor in extractors.items()}
    identified: dict[str, tuple[Metric, dict[str, Any]]] = {
        name: (metric, {"class": f"tests.{name}", "version": 1, "arguments": {}})
        for name, metric in (metrics or {}).items()
    }
    return replace(lab, extractors=components, metrics=identified, **changes)


def laid_out(lab: Lab) -> tuple[Ruler, list[Step]]:
    """Return the ruler of a lab, and the step of each generation."""
    extractors = Extractors(lab, Silent())
    steps = Planner(lab, Work(lab, extractors, Silent())).steps()
    return Ruler(lab, extractors), [step for (step,) in steps]


def measured(lab: Lab, generation: int = 1) -> Reading:
    """Return the measurements of one generation, after the floors are computed."""
    ruler, steps = laid_out(lab)
    ruler.prepare()
    return ruler.measure(steps[generation], no_model, steps[0])


def no_model(step: Step) -> GenerativeModel:
    """Fail, because only probes look into models."""
    raise AssertionError(f"no probe is given, so nothing may look into the model of generation {step.generation}")
