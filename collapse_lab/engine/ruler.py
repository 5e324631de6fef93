"""The ruler: features of samples compared with features of real rows, beside the floor of real against real."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.engine.between import Between
from collapse_lab.engine.checks import too_few
from collapse_lab.engine.drift import Drift, compares
from collapse_lab.engine.embedding import RealFeatures
from collapse_lab.engine.encodings import Encodings
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.groups import Groups, is_grouped
from collapse_lab.engine.keys import FeaturesKey, FloorKey, Identity, KnownKey, digest_of_array
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.measuring import additions_of, estimates_of, is_between, known_of, offers, values_of
from collapse_lab.engine.payloads import features_of, rows_of, take
from collapse_lab.engine.plan import Step
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.view import gathers, given
from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.storage.store import Payload
from collapse_lab.types import Estimate, FeatureSet, GenerativeModel, Probe, Rows, Samples, Split, Subject, Task

SPLITS: tuple[Split, ...] = ("train", "reference")


@dataclass(frozen=True)
class Reading:
    """Hold the measurements of one step, as they enter the ledger.

    Attributes:
        metrics: name -> number.
        features: feature space -> fingerprint.
        seconds: how long it took.
        kept: prompt set -> name -> a number for each sample, (n,). They do not enter the ledger.
    """

    metrics: dict[str, float]
    features: dict[str, dict[str, Any]]
    seconds: float
    kept: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


class Ruler:
    """Measure every prompt set in every feature space by every metric.

    The floor of a metric is its value between n real rows of the training split and the reference, n being the number
    of generated rows (fewer where the split holds fewer; `n_floor` in the ledger says how many). For a metric against
    the training split, the n rows are of the reference.

    A prompt set without real rows is compared with generation 0 (`Drift`).
    """

    def __init__(self, lab: Lab, extractors: Extractors, encodings: Encodings | None = None) -> None:
        self._encodings = encodings
        self._lab, self._extractors, self._drift = lab, extractors, Drift(lab, self._features, self._grouped)
        self._between = Between(lab, self._features)
        grouped = any(is_grouped(metric) for metric, _ in lab.metrics.values())
        self._groups = {subset: Groups(lab, subset, lab.sampled_by(0)) for subset in lab.prompts.sets if grouped}
        self._probed: dict[tuple[str, bool], Samples] = {}
        self._numbers_of: dict[tuple[str, Split], tuple[np.ndarray, np.ndarray]] = {}
        places = [(name, split) for name in extractors.names for split in SPLITS]
        self._embedded = {place: self._needed_rows(*place) for place in places}
        self._real_features = RealFeatures(lab, extractors)
        self._real = {place: self._real_features.stage(*place, rows) for place, rows in self._embedded.items()}
        self._known = {
            (subset, name, metric): self._known_stage(subset, name, metric)
            for subset in lab.prompts.sets
            for name in extractors.names
            for metric in self._metrics_of(name)
            if offers(lab.metrics[metric][0], "of_real") and not self._drift.takes(subset, lab.metrics[metric][0])
        }
        self._floors = {
            (subset, name, metric): self._floor_stage(subset, name, metric)
            for subset in lab.prompts.sets
            for name in extractors.names
            for metric in self._metrics_of(name)
            if lab.metrics[metric][0].floored and not self._drift.takes(subset, lab.metrics[metric][0])
        }

    @property
    def stages(self) -> list[Stage]:
        """Return the stages that are computed once for all generations."""
        shared = self._extractors.stages, self._real, self._known, self._floors
        return [stage for stages in shared for stage in stages.values()]

    def prepare(self) -> None:
        """Compute the floors, and what metrics know of the real rows alone.

        Floors need as many rows as the metrics, so that what cannot be measured is refused now.

        Raises:
            UserError: a prompt set has too few reference rows, or a metric does not admit the sizes.
        """
        for subset in self._lab.prompts.sets:
            count = int(self._lab.members_of(subset)[1].sum())
            if count < 2:
                raise UserError(too_few(subset, count))
        for stage in [*self._floors.values(), *self._known.values()]:
            stage.value()
        self._real_features.forget_parts()

    def features_of(self, step: Step) -> list[Stage]:
        """Return the stages that embed the samples of one step, and those of the floors that rest on them."""
        names = self._extractors.names
        stages = [self._features(stage, name) for stage in step.samples.values() for name in names]
        return stages + [stage for name in names for stage in self._drift.stages_of(step, name, self._metrics_of(name))]

    def measure(
        self,
        step: Step,
        look: Callable[[Step], GenerativeModel],
        first: Step,
        before: Step | None = None,
        beside: Sequence[Step] = (),
    ) -> Reading:
        """Return all metrics and probes of one step.

        Args:
            step: what is measured.
            look: returns the fitted model of a step, for the probes.
            first: the step of the same member's first generation.
            before: the step of the same member's generation before; None in its first one.
            beside: the steps of other members in the same generation, which this one is compared with.
        """
        start = self._lab.executor.clock()
        choose_arithmetic()  # because metrics and probes rest on the rounding of float32
        metrics: dict[str, float] = {}
        for subset, sampled in step.samples.items():
            for name in self._extractors.names:
                generated = features_of(self._features(sampled, name).value())
                metrics |= self._compare(step, first, subset, name, self._grouped(subset, generated))
                for key, estimate in self._between.measure(step, beside, subset, name).items():
                    metrics |= flatten(f"{subset}/{name}/{key}", estimate)
        kept: dict[str, dict[str, np.ndarray]] = {subset: {} for subset in self._lab.prompts.sets}
        if self._lab.probes:
            metrics |= self._probe(step, look, first, before, kept)
        features = {name: self._fingerprint(name) for name in self._extractors.names}
        return Reading(metrics, features, self._lab.executor.clock() - start, kept)

    def _compare(self, step: Step, first: Step, subset: str, name: str, generated: FeatureSet) -> dict[str, float]:
        out: dict[str, float] = {}
        chosen = {key: self._lab.metrics[key][0] for key in self._metrics_of(name)}
        real: dict[str, FeatureSet] = {}  # of each split once, because metrics share the work on one object
        tasks, floors = {}, {}
        for metric_name, metric in chosen.items():
            known: Mapping[str, Tensor] | None = None
            if not self._drift.takes(subset, metric):
                if metric.against not in real:
                    real[metric.against] = self._real_rows(subset, name, metric.against)
                rows, known = real[metric.against], self._known_of(subset, name, metric_name)
                floors[metric_name] = self._floors.get((subset, name, metric_name))
            elif step is not first or not compares(metric):
                rows = self._grouped(subset, self._drift.reference(first, subset, name))
                stage = self._drift.known(first, subset, name, metric_name)
                known = None if stage is None else stage.value().tensors
                floors[metric_name] = self._drift.floor(first, subset, name, metric_name)
            else:
                continue
            place = Seeds(self._lab.seed, step.generation, step.model, f"metric/{subset}/{name}/{metric_name}")
            tasks[metric_name] = Task(metric, generated, rows, place.numpy(), known)
        for metric_name, estimates in zip(tasks, estimates_of(list(tasks.values())), strict=True):
            floor = floors[metric_name]
            values = {} if floor is None else floor.value().meta
            for key, estimate in estimates.items():
                out |= flatten(f"{subset}/{name}/{key}", estimate)
                if key in values:
                    out[f"{subset}/{name}/{key}_floor"] = values[key]
        return out

    def _probe(
        self,
        step: Step,
        look: Callable[[Step], GenerativeModel],
        first: Step,
        before: Step | None,
        kept: Mapping[str, dict[str, np.ndarray]],
    ) -> dict[str, float]:
        out: dict[str, float] = {}
        model, previous = look(step), None if before is None else partial(look, before)
        for subset in self._lab.prompts.sets:
            models, generated = (model, partial(look, first)), self._generated(step, subset)
            for name, (probe, _) in self._lab.probes.items():
                rows, place = (self._real_of(step, subset, probe), given(probe, generated)), (step.model, subset)
                subject = Subject(*models, *rows, partial(self._start, first), kept[subset], previous, *place)
                for key, estimate in probe(subject, Seeds(0, 0, "real", f"probe/{name}").numpy()).items():
                    out |= flatten(f"{subset}/{key}", estimate)
        return out

    def _generated(self, step: Step, subset: str) -> Samples[Rows]:
        """Return the samples of a prompt set, no rows where it is not sampled."""
        if subset in step.samples:
            return rows_of(step.samples[subset].value())
        return self._lab.real.reference.take(np.zeros(0, np.int64))

    def _start(self, first: Step) -> GenerativeModel:
        """Return the model of a member before its first fit, on the run's device."""
        component = self._lab.model(first.model)
        model = self._lab.fresh(component, Seeds(self._lab.seed, first.generation, first.model, "fit"))
        model.to(self._lab.device)
        return model

    def _real_of(self, step: Step, subset: str, probe: Probe) -> Samples:
        """Return the reference rows of a prompt set, with their encodings for a probe that says `encodes`."""
        real = self._held_out(subset, probe)
        if self._encodings is None or not getattr(probe, "encodes", False):
            return real
        component = self._lab.model(step.model)
        rows = np.flatnonzero(self._lab.members_of(subset)[1])
        return replace(real, encoded=self._encodings.reference(component, step.generation, rows))

    def _held_out(self, subset: str, probe: Probe) -> Samples:
        """Return the reference rows of a prompt set, gathered once for all probes that take a tensor."""
        form = subset, gathers(probe)
        if form not in self._probed:
            rows = np.flatnonzero(self._lab.members_of(subset)[1])
            self._probed[form] = given(probe, self._lab.real.reference.take(rows))
        return self._probed[form]

    def _metrics_of(self, name: str) -> list[str]:
        """Return the names of the metrics that compare one member with other rows in a feature space."""
        return [
            key
            for key, (metric, _) in self._lab.metrics.items()
            if (metric.features is None or name in metric.features) and not is_between(metric)
        ]

    def _fingerprint(self, name: str) -> dict[str, Any]:
        sizes: dict[str, dict[str, Any]] = {}
        for subset in self._lab.prompts.sets:
            if self._lab.drifts(subset):
                sizes[subset] = self._drift.fingerprint()
            else:
                real, floor = (len(rows) for rows in self._numbers(subset, "reference"))
                sizes[subset] = {"n": self._lab.n_samples, "n_reference": real, "n_floor": floor}
            if subset in self._groups and self._groups[subset].named:
                sizes[subset]["groups"] = self._groups[subset].named
        metrics = {metric: settings(self._lab.metrics[metric][1]) for metric in self._metrics_of(name)}
        made = {"dataset": self._lab.dataset.key, "metrics": metrics}
        return {**self._extractors.get(name).fingerprint, **made, **sizes}

    def _numbers(self, subset: str, against: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the real rows compared with, and of the floor's rows in the other split."""
        if (subset, against) not in self._numbers_of:
            splits = [np.flatnonzero(mask) for mask in self._lab.members_of(subset)]
            other, real = splits if against == "reference" else splits[::-1]
            order = Seeds(0, 0, "real", "floor").numpy().permutation(len(other))[: self._lab.n_samples]
            self._numbers_of[subset, against] = real, other[order]
        return self._numbers_of[subset, against]

    def _real_rows(self, subset: str, name: str, against: Split) -> FeatureSet:
        """Return features of the real rows that generated ones are compared with."""
        return self._features_of_rows(subset, name, against, self._numbers(subset, against)[0])

    def _floor_rows(self, subset: str, name: str, against: Split) -> FeatureSet:
        """Return features of the real rows that stand in for generated ones."""
        other: Split = "train" if against == "reference" else "reference"
        return self._features_of_rows(subset, name, other, self._numbers(subset, against)[1])

    def _features_of_rows(self, subset: str, name: str, split: Split, rows: np.ndarray) -> FeatureSet:
        embedded = features_of(self._real[name, split].value())
        features = take(embedded, np.searchsorted(self._embedded[name, split], rows))
        real: Samples[Rows] = getattr(self._lab.real, split)
        return self._groups[subset].of_rows(features, real.take(rows)) if subset in self._groups else features

    def _grouped(self, subset: str, generated: FeatureSet) -> FeatureSet:
        """Return features of samples with their groups, where a metric asks for groups."""
        return self._groups[subset].of_samples(generated) if subset in self._groups else generated

    def _needed_rows(self, name: str, split: Split) -> np.ndarray:
        """Return the numbers of the rows of a split that some metric in a feature space needs, rising.

        Other rows are not embedded, because the training split can have a hundred times the rows of a floor, and a
        large network embeds about a thousand rows a minute.
        """
        parts = [np.zeros(0, np.int64)]
        for key in self._metrics_of(name):
            metric = self._lab.metrics[key][0]
            subsets = [subset for subset in self._lab.prompts.sets if not self._drift.takes(subset, metric)]
            parts += [self._numbers(subset, metric.against)[int(split != metric.against)] for subset in subsets]
        return np.unique(np.concatenate(parts))

    def _features(self, sampled: Stage, name: str) -> Stage:
        def produce() -> Payload:
            _, generation, member, _ = sampled.facts["seeds"]
            return self._extractors.embed(name, rows_of(sampled.value()), generation, member)

        key = FeaturesKey(self._lab.extractors[name].identity)
        parents = [sampled, *self._extractors.parents(name)]
        return Stage(self._lab.store, key, produce, parents, sampled.persist)

    def _floor_stage(self, subset: str, name: str, metric_name: str) -> Stage:
        metric, identity = self._lab.metrics[metric_name]

        def produce() -> Payload:
            place = Seeds(0, 0, "real", f"floor/{metric_name}")
            rows = self._floor_rows(subset, name, metric.against), self._real_rows(subset, name, metric.against)
            known = self._known_of(subset, name, metric_name)
            return Payload(meta=values_of(Task(metric, *rows, place.numpy(), known)))

        masks = tuple(digest_of_array(mask) for mask in self._lab.members_of(subset))
        parents = [self._real[name, "train"], self._real[name, "reference"]]
        groups = self._groups[subset].digest if is_grouped(metric) else ""
        key = FloorKey(identity, masks, self._lab.n_samples, groups, additions_of(metric))
        return Stage(self._lab.store, key, produce, parents)

    def _known_stage(self, subset: str, name: str, metric_name: str) -> Stage:
        metric, identity = self._lab.metrics[metric_name]

        def produce() -> Payload:
            return Payload(known_of(metric, self._real_rows(subset, name, metric.against)))

        mask = self._lab.members_of(subset)[SPLITS.index(metric.against)]
        key = KnownKey(identity, digest_of_array(mask))
        return Stage(self._lab.store, key, produce, [self._real[name, metric.against]])

    def _known_of(self, subset: str, name: str, metric_name: str) -> Mapping[str, Tensor] | None:
        stage = self._known.get((subset, name, metric_name))
        return None if stage is None else stage.value().tensors


def settings(identity: Identity) -> str:
    """Return what a metric's values depend on: its version and arguments, less those that act on intervals alone."""
    given = {k: v for k, v in identity["arguments"].items() if k not in ("features", "bootstrap")}
    return " ".join([f"v{identity['version']}", *(f"{key}={value}" for key, value in given.items())])


def flatten(name: str, estimate: Estimate) -> dict[str, float]:
    """Return the ledger's names and numbers of an estimate; a number that is not finite is left out."""
    parts = {name: estimate.value, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}
    return {key: float(value) for key, value in parts.items() if value is not None and math.isfinite(value)}
