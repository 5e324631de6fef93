"""The ruler: features of samples, compared with those of the reference, beside the floor of real against real."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from collapse_lab.errors import UserError
from collapse_lab.extractors import Extractors
from collapse_lab.lab import Lab
from collapse_lab.plan import Step
from collapse_lab.seeds import Seeds
from collapse_lab.stages import Stage
from collapse_lab.store import Payload
from collapse_lab.types import Estimate, FeatureSet, GenerativeModel, Samples
from collapse_lab.work import unpack_samples


@dataclass(frozen=True)
class Reading:
    """The measurements of one step, as they enter the ledger."""

    metrics: dict[str, float]
    features: dict[str, dict[str, Any]]
    seconds: float


class Ruler:
    """Measures every prompt set in every feature space by every metric.

    floor: a metric between n real rows of the training split and the reference, n being the number of generated
        rows (fewer where the split holds fewer; `n_floor` in the ledger says how many).
    """

    def __init__(self, lab: Lab, extractors: Extractors) -> None:
        self._lab, self._extractors = lab, extractors
        self._real = {
            (name, split): self._real_stage(name, split)
            for name in extractors.names
            for split in ("train", "reference")
        }
        self._floors = {
            (subset, name): self._floor_stage(subset, name) for subset in lab.prompts.sets for name in extractors.names
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

    def measure(self, step: Step, model: GenerativeModel | None) -> Reading:
        """All metrics of one step; `model` is what the probes look into."""
        start = time.perf_counter()
        metrics: dict[str, float] = {}
        for subset, sampled in step.samples.items():
            for name in self._extractors.names:
                generated = unpack_features(self._features(sampled, name).value())
                metrics |= self._compare(step, subset, name, generated)
        if model is not None:
            metrics |= self._probe(step, model)
        features = {name: self._fingerprint(name) for name in self._extractors.names}
        return Reading(metrics, features, time.perf_counter() - start)

    def _compare(self, step: Step, subset: str, name: str, generated: FeatureSet) -> dict[str, float]:
        reference, _ = self._reference(subset, name)
        floors = self._floors[subset, name].value().meta
        out: dict[str, float] = {}
        for metric_name, (metric, _) in self._metrics_of(name).items():
            place = Seeds(self._lab.seed, step.generation, step.model, f"metric/{subset}/{name}/{metric_name}")
            for key, estimate in metric(generated, reference, place.numpy()).items():
                out |= flatten(f"{subset}/{name}/{key}", estimate)
                if key in floors:
                    out[f"{subset}/{name}/{key}_floor"] = floors[key]
        return out

    def _probe(self, step: Step, model: GenerativeModel) -> dict[str, float]:
        out: dict[str, float] = {}
        for subset in step.samples:
            real = self._lab.real.reference.take(np.flatnonzero(self._lab.members_of(subset)[1]))
            for name, (probe, _) in self._lab.probes.items():
                for key, estimate in probe(model, real, Seeds(0, 0, "real", f"probe/{name}").numpy()).items():
                    out |= flatten(f"{subset}/{key}", estimate)
        return out

    def _metrics_of(self, name: str) -> Mapping[str, tuple[Any, Mapping[str, Any]]]:
        return {
            key: value
            for key, value in self._lab.metrics.items()
            if value[0].features is None or name in value[0].features
        }

    def _fingerprint(self, name: str) -> dict[str, Any]:
        sizes = {}
        for subset in self._lab.prompts.sets:
            reference, floor = self._reference(subset, name)
            sizes[subset] = {"n": self._lab.n_samples, "n_reference": len(reference), "n_floor": len(floor)}
        return {**self._extractors.get(name).fingerprint, **sizes}

    def _reference(self, subset: str, name: str) -> tuple[FeatureSet, FeatureSet]:
        """Features of the reference rows of a prompt set, and of the real rows that stand in for generated ones."""
        in_train, in_reference = self._lab.members_of(subset)
        rows = np.flatnonzero(in_train)
        order = Seeds(0, 0, "real", "floor").numpy().permutation(len(rows))[: self._lab.n_samples]
        reference = take(self._real_features(name, "reference"), np.flatnonzero(in_reference))
        return reference, take(self._real_features(name, "train"), rows[order])

    def _real_features(self, name: str, split: str) -> FeatureSet:
        return unpack_features(self._real[name, split].value())

    def _features(self, sampled: Stage, name: str) -> Stage:
        def produce() -> Payload:
            return pack_features(self._extractors.get(name).extract(unpack_samples(sampled.value())))

        fields = {"extractor": self._lab.extractors[name].identity}
        parents = [sampled, *self._extractors.parents(name)]
        return Stage(self._lab.store, "features", fields, produce, parents, sampled.persist)

    def _real_stage(self, name: str, split: str) -> Stage:
        def produce() -> Payload:
            rows: Samples = getattr(self._lab.real, split)
            return pack_features(self._extractors.get(name).extract(rows))

        fields = {
            "extractor": self._lab.extractors[name].identity,
            "dataset": self._lab.dataset.key,
            "split": split,
        }
        return Stage(self._lab.store, "features", fields, produce, self._extractors.parents(name))

    def _floor_stage(self, subset: str, name: str) -> Stage:
        chosen = {k: v for k, v in self._metrics_of(name).items() if v[0].floored}

        def produce() -> Payload:
            reference, real = self._reference(subset, name)
            values: dict[str, float] = {}
            for key, (metric, _) in chosen.items():
                place = Seeds(0, 0, "real", f"floor/{key}")
                estimates = metric(real, reference, place.numpy()).items()
                values |= {k: e.value for k, e in estimates if math.isfinite(e.value)}
            return Payload(meta=values)

        fields = {
            "metrics": {key: identity for key, (_, identity) in chosen.items()},
            "rows": [hashlib.sha256(mask.tobytes()).hexdigest()[:32] for mask in self._lab.members_of(subset)],
            "n": self._lab.n_samples,
        }
        parents = [self._real[name, "train"], self._real[name, "reference"]]
        return Stage(self._lab.store, "floor", fields, produce, parents)


def flatten(name: str, estimate: Estimate) -> dict[str, float]:
    """Ledger names of an estimate; a number that is not finite is left out, since JSON has none."""
    parts = {name: estimate.value, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}
    return {key: float(value) for key, value in parts.items() if value is not None and math.isfinite(value)}


def pack_features(features: FeatureSet) -> Payload:
    """A feature set as a stage's payload."""
    tensors = {"values": features.values, "labels": features.labels}
    if features.predicted is not None:
        tensors["predicted"] = features.predicted
    return Payload(tensors)


def unpack_features(payload: Payload) -> FeatureSet:
    """A feature set from a stage's payload."""
    return FeatureSet(payload.tensors["values"], payload.tensors["labels"], payload.tensors.get("predicted"))


def take(features: FeatureSet, rows: np.ndarray) -> FeatureSet:
    """Some rows of a feature set."""
    index = torch.from_numpy(rows)
    predicted = None if features.predicted is None else features.predicted[index]
    return FeatureSet(features.values[index], features.labels[index], predicted)
