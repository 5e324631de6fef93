"""What is measured: features, estimates, and what a probe looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from collapse_lab.types.data import Samples, Spec
from collapse_lab.types.family import GenerativeModel

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class FeatureSet:
    """Hold an embedding of n samples with the conditions that were asked for.

    Attributes:
        values: (n, d) float.
        labels: (n,) int64, the labels asked for.
        predicted: (n,) int64, the class read off each sample where the extractor is a classifier, else None.
        texts: (n, d), each sample's caption embedded in the same space where the extractor does so, else None.
        groups: (n,) int64, the number of each sample's prompt among those of its set, -1 for another prompt; given to
            metrics that ask for groups, where these are not the labels.
    """

    values: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    predicted: Int[Tensor, " n"] | None = None
    texts: Float[Tensor, "n d"] | None = None
    groups: Int[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])


@dataclass(frozen=True)
class Estimate:
    """Hold a number with its 95 % interval, where one is known."""

    value: float
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True)
class Task:
    """Hold one call of a metric, so that several metrics of the same rows can be computed together.

    Attributes:
        metric: the metric.
        generated: features of generated rows.
        real: features of the real rows that they are compared with.
        rng: the metric's own random numbers.
        known: what the metric's `of_real` returned for `real`, where it was called before.
    """

    metric: Any
    generated: FeatureSet
    real: FeatureSet
    rng: np.random.Generator
    known: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Subject:
    """Hold what a probe looks at: one model of one generation, and one prompt set.

    Attributes:
        model: the fitted model.
        first: returns the same member's model of generation 0, which is loaded when it is called. In generation 0 it
            is the same object as `model`.
        real: reference rows of the prompt set.
        generated: what the model sampled for the prompt set.
        start: returns the same member's model before the fit of generation 0: pretrained or fresh.
        kept: name -> a number for each sample, (n,), which a probe may add for figures; the ledger has none of them.
        previous: returns the same member's model of the generation before; None in generation 0.
        member: the name of the member.
        subset: the name of the prompt set.
    """

    model: GenerativeModel
    first: Callable[[], GenerativeModel]
    real: Samples
    generated: Samples
    start: Callable[[], GenerativeModel] | None = None
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    previous: Callable[[], GenerativeModel] | None = None
    member: str = "model"
    subset: str = ""


@dataclass(frozen=True)
class Prospect:
    """Hold what is known, before anything is computed, of what a probe will look at.

    Attributes:
        spec: what the data set promises.
        model: a model of the run, built and neither fitted nor loaded.
        real: the number of reference rows of the prompt set.
        generated: the number of samples of the prompt set in a generation, the least where it follows a schedule.
    """

    spec: Spec
    model: GenerativeModel
    real: int
    generated: int


@dataclass(frozen=True)
class Comparison:
    """Hold what is known, before anything is computed, of the rows that a metric will compare.

    Attributes:
        generated: the number of generated rows, or of the real rows that stand for them in a floor.
        real: the number of real rows that they are compared with.
        varied: whether these real rows differ at all.
        groups: the number of groups of the generated rows: classes, or prompts without a class.
    """

    generated: int
    real: int
    varied: bool
    groups: int = 1
