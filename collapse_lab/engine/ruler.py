"""The ruler: features of samples, compared with those of the reference, beside the floor of real against real."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.plan import Step
from collapse_lab.engine.seeds import Seeds
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.work import unpack_samples
from collapse_lab.errors import UserError
from collapse_lab.packing.turns import clock
from collapse_lab.storage.store import Payload
from collapse_lab.types import Estimate, FeatureSet, GenerativeModel, Samples, Split, Subject

SPLITS: tuple[Split, ...] = ("train", "reference")
OPTIONAL = ("predicted", "texts")  # what not every extractor gives, in the order of FeatureSet


@dataclass(frozen=True)
class Reading:
    """The measurements of one step, as they enter the ledger."""

    metrics: dict[str, float]
    features: dict[str, dict[str, Any]]
    seconds: float


class Ruler:
    """Measures every prompt set in every feature space by every metric.

    floor: a metric between n real rows of the training split and the reference, n being the number of generated
        rows (fewer where the split holds fewer; `n_floor` in the ledger says how many). For a metric against the
        training split, its rows are of the reference.
    """

    def __init__(self, lab: Lab, extractors: Extractors) -> None:
        self._lab, self._extractors = lab, extractors
        self._probed: dict[str, Samples] = {}
        self._found: dict[tuple[str, Split], tuple[np.ndarray, np.ndarray]] = {}
        places = [(name, split) for name in extractors.names for split in SPLITS]
        self._embedded = {place: self._looked_at(*place) for place in places}
        self._real = {place: self._real_stage(*place) for place in places}
        self._floors = {
            (subset, name, metric): self._floor_stage(subset, name, metric)
            for subset in lab.prompts.sets
            for name in extractors.names
            for metric in self._metrics_of(name)
            if lab.metrics[metric][0].floored
        }

    @property
    def stages(self) -> list[Stage]:
        """What is computed once for all generations."""
        return [*self._extractors.stages.values(), *self._real.values(), *self._floors.values()]

    def prepare(self) -> None:
        """Computes the floors, which need as many rows as the metrics will: what cannot be measured is refused now.

        Raises:
            UserError: a prompt set without enough reference rows, or a metric that the sizes do not admit.
        """
        for subset in self._lab.prompts.sets:
            count = int(self._lab.members_of(subset)[1].sum())
            if count < 2:
                raise UserError(
                    f"prompt set '{subset}' has {count} reference rows, and a comparison takes 2 or more; give a "
                    "larger set, or a larger dataset.reference_fraction"
                )
        for stage in self._floors.values():
            stage.value()

    def features_of(self, step: Step) -> list[Stage]:
        """The stages that embed the samples of one step."""
        return [self._features(stage, name) for stage in step.samples.values() for name in self._extractors.names]

    def measure(self, step: Step, look: Callable[[Step], GenerativeModel], first: Step) -> Reading:
        """All metrics of one step; `look` gives what the probes look into, `first` is the member's generation 0."""
        start = clock()
        metrics: dict[str, float] = {}
        for subset, sampled in step.samples.items():
            for name in self._extractors.names:
                generated = unpack_features(self._features(sampled, name).value())
                metrics |= self._compare(step, subset, name, generated)
        if self._lab.probes:
            metrics |= self._probe(step, look, first)
        features = {name: self._fingerprint(name) for name in self._extractors.names}
        return Reading(metrics, features, clock() - start)

    def _compare(self, step: Step, subset: str, name: str, generated: FeatureSet) -> dict[str, float]:
        out: dict[str, float] = {}
        chosen = {key: self._lab.metrics[key][0] for key in self._metrics_of(name)}
        real = {split: self._real_rows(subset, name, split) for split in {each.against for each in chosen.values()}}
        for metric_name, metric in chosen.items():
            place = Seeds(self._lab.seed, step.generation, step.model, f"metric/{subset}/{name}/{metric_name}")
            floor = self._floors.get((subset, name, metric_name))
            floors = {} if floor is None else floor.value().meta
            for key, estimate in metric(generated, real[metric.against], place.numpy()).items():
                out |= flatten(f"{subset}/{name}/{key}", estimate)
                if key in floors:
                    out[f"{subset}/{name}/{key}_floor"] = floors[key]
        return out

    def _probe(self, step: Step, look: Callable[[Step], GenerativeModel], first: Step) -> dict[str, float]:
        out: dict[str, float] = {}
        model = look(step)
        for subset, sampled in step.samples.items():
            subject = Subject(model, partial(look, first), self._held_out(subset), unpack_samples(sampled.value()))
            for name, (probe, _) in self._lab.probes.items():
                for key, estimate in probe(subject, Seeds(0, 0, "real", f"probe/{name}").numpy()).items():
                    out |= flatten(f"{subset}/{key}", estimate)
        return out

    def _held_out(self, subset: str) -> Samples:
        """Reference rows of a prompt set, gathered once."""
        if subset not in self._probed:
            rows = np.flatnonzero(self._lab.members_of(subset)[1])
            self._probed[subset] = self._lab.real.reference.take(rows)
        return self._probed[subset]

    def _metrics_of(self, name: str) -> list[str]:
        """Names of the metrics that are computed in one feature space."""
        return [
            key for key, (metric, _) in self._lab.metrics.items() if metric.features is None or name in metric.features
        ]

    def _fingerprint(self, name: str) -> dict[str, Any]:
        sizes = {}
        for subset in self._lab.prompts.sets:
            real, floor = (len(rows) for rows in self._numbers(subset, "reference"))
            sizes[subset] = {"n": self._lab.n_samples, "n_reference": real, "n_floor": floor}
        metrics = {metric: settings(self._lab.metrics[metric][1]) for metric in self._metrics_of(name)}
        made = {"dataset": self._lab.dataset.key, "metrics": metrics}
        return {**self._extractors.get(name).fingerprint, **made, **sizes}

    def _numbers(self, subset: str, against: Split) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the real rows of a prompt set in the split compared with, and of the floor's in the other."""
        if (subset, against) not in self._found:
            splits = [np.flatnonzero(mask) for mask in self._lab.members_of(subset)]
            other, real = splits if against == "reference" else splits[::-1]
            order = Seeds(0, 0, "real", "floor").numpy().permutation(len(other))[: self._lab.n_samples]
            self._found[subset, against] = real, other[order]
        return self._found[subset, against]

    def _real_rows(self, subset: str, name: str, against: Split) -> FeatureSet:
        """Features of the real rows that generated ones are compared with."""
        return self._real_features(name, against, self._numbers(subset, against)[0])

    def _floor_rows(self, subset: str, name: str, against: Split) -> FeatureSet:
        """Features of the real rows that stand in for generated ones."""
        other: Split = "train" if against == "reference" else "reference"
        return self._real_features(name, other, self._numbers(subset, against)[1])

    def _real_features(self, name: str, split: Split, rows: np.ndarray) -> FeatureSet:
        embedded = unpack_features(self._real[name, split].value())
        return take(embedded, np.searchsorted(self._embedded[name, split], rows))

    def _looked_at(self, name: str, split: Split) -> np.ndarray:
        """Numbers of the rows of a split that some metric in a feature space looks at, rising.

        The training split can be a hundred times what a floor takes, and a minute of a large network a thousand rows.
        """
        parts = [np.zeros(0, np.int64)]
        for against in {self._lab.metrics[key][0].against for key in self._metrics_of(name)}:
            parts += [self._numbers(subset, against)[int(split != against)] for subset in self._lab.prompts.sets]
        return np.unique(np.concatenate(parts))

    def _features(self, sampled: Stage, name: str) -> Stage:
        def produce() -> Payload:
            return pack_features(self._extractors.get(name).extract(unpack_samples(sampled.value())))

        fields = {"extractor": self._lab.extractors[name].identity}
        parents = [sampled, *self._extractors.parents(name)]
        return Stage(self._lab.store, "features", fields, produce, parents, sampled.persist)

    def _real_stage(self, name: str, split: Split) -> Stage:
        numbers = self._embedded[name, split]

        def produce() -> Payload:
            rows: Samples = getattr(self._lab.real, split)
            return pack_features(self._extractors.get(name).extract(rows.take(numbers)))

        fields = {
            "extractor": self._lab.extractors[name].identity,
            "dataset": self._lab.dataset.key,
            "split": split,
            "rows": hashlib.sha256(numbers.tobytes()).hexdigest()[:32],
        }
        return Stage(self._lab.store, "features", fields, produce, self._extractors.parents(name))

    def _floor_stage(self, subset: str, name: str, metric_name: str) -> Stage:
        metric, identity = self._lab.metrics[metric_name]

        def produce() -> Payload:
            place = Seeds(0, 0, "real", f"floor/{metric_name}")
            rows = self._floor_rows(subset, name, metric.against), self._real_rows(subset, name, metric.against)
            found = metric(*rows, place.numpy())
            return Payload(meta={key: each.value for key, each in found.items() if math.isfinite(each.value)})

        fields = {
            "metric": identity,
            "rows": [hashlib.sha256(mask.tobytes()).hexdigest()[:32] for mask in self._lab.members_of(subset)],
            "n": self._lab.n_samples,
        }
        parents = [self._real[name, "train"], self._real[name, "reference"]]
        return Stage(self._lab.store, "floor", fields, produce, parents)


def settings(identity: Mapping[str, Any]) -> str:
    """What a metric's values depend on: its version and arguments, less those that only widen or narrow intervals."""
    given = {k: v for k, v in identity["arguments"].items() if k not in ("features", "bootstrap")}
    return " ".join([f"v{identity['version']}", *(f"{key}={value}" for key, value in given.items())])


def flatten(name: str, estimate: Estimate) -> dict[str, float]:
    """Ledger names of an estimate; a number that is not finite is left out, since JSON has none."""
    parts = {name: estimate.value, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}
    return {key: float(value) for key, value in parts.items() if value is not None and math.isfinite(value)}


def pack_features(features: FeatureSet) -> Payload:
    """A feature set as a stage's payload."""
    tensors = {"values": features.values, "labels": features.labels}
    tensors |= {key: value for key in OPTIONAL if (value := getattr(features, key)) is not None}
    return Payload(tensors)


def unpack_features(payload: Payload) -> FeatureSet:
    """A feature set from a stage's payload."""
    tensors = payload.tensors
    return FeatureSet(tensors["values"], tensors["labels"], *(tensors.get(key) for key in OPTIONAL))


def take(features: FeatureSet, rows: np.ndarray) -> FeatureSet:
    """Some rows of a feature set."""
    index = torch.from_numpy(rows)
    optional = (getattr(features, key) for key in OPTIONAL)
    chosen = (None if part is None else part[index] for part in optional)
    return FeatureSet(features.values[index], features.labels[index], *chosen)
