"""Drift: samples of prompts that no real row carries are compared with those that generation 0 made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collapse_lab.engine.keys import FloorKey, KnownKey
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.measuring import additions_of, known_of, offers, values_of
from collapse_lab.engine.payloads import features_of
from collapse_lab.engine.plan import Step
from collapse_lab.engine.stages import Stage
from collapse_lab.seeds import Seeds
from collapse_lab.storage.store import Payload
from collapse_lab.types import FeatureSet, Metric, Task

REFERENCE = "generation 0"  # what fingerprints name as the reference


class Drift:
    """Give what samples of prompts without real rows are compared with: those of the same member's generation 0.

    Generation 0 itself has no value of a metric that compares, because it would be compared with itself. The floor is
    the value between a second draw of generation 0 and the first one: what a model that does not change has at this n.

    Args:
        lab: what the run is made of.
        embed: returns the stage of the features of a stage of samples, in a feature space.
        grouped: returns features of the samples of a prompt set with their groups.
    """

    def __init__(
        self, lab: Lab, embed: Callable[[Stage, str], Stage], grouped: Callable[[str, FeatureSet], FeatureSet]
    ) -> None:
        self._lab, self._embed, self._grouped = lab, embed, grouped
        self._stages: dict[tuple[str, ...], Stage] = {}

    def takes(self, subset: str, metric: Metric) -> bool:
        """Return whether a metric of a prompt set is against generation 0; against training rows it stays as it is."""
        return self._lab.drifts(subset) and metric.against == "reference"

    def reference(self, first: Step, subset: str, name: str) -> FeatureSet:
        """Return the features of the samples that generation 0 made.

        Args:
            first: the step of the member's generation 0.
            subset: the prompt set.
            name: the feature space.
        """
        return features_of(self._first(first, subset, name).value())

    def floor(self, first: Step, subset: str, name: str, metric_name: str) -> Stage | None:
        """Return the stage of a metric's floor, None where it has none; the arguments are as of `reference`."""
        metric, identity = self._lab.metrics[metric_name]
        if not metric.floored or subset not in first.again:
            return None
        stages = self._embed(first.again[subset], name), self._first(first, subset, name)

        def produce() -> Payload:
            place, known = Seeds(0, 0, "real", f"floor/{metric_name}"), self.known(first, subset, name, metric_name)
            again, reference = (self._grouped(subset, features_of(stage.value())) for stage in stages)
            tensors = None if known is None else known.value().tensors
            return Payload(meta=values_of(Task(metric, again, reference, place.numpy(), tensors)))

        def make() -> Stage:
            key = FloorKey(identity, (REFERENCE,), self._lab.n_samples, additions=additions_of(metric))
            return Stage(self._lab.store, key, produce, stages)

        return self._once((*(stage.key for stage in stages), metric_name), make)

    def known(self, first: Step, subset: str, name: str, metric_name: str) -> Stage | None:
        """Return the stage of what a metric finds in the reference alone; the arguments are as of `reference`."""
        metric, identity = self._lab.metrics[metric_name]
        if not offers(metric, "of_real"):
            return None
        parent = self._first(first, subset, name)

        def make() -> Stage:
            key = KnownKey(identity, REFERENCE)
            return Stage(self._lab.store, key, lambda: Payload(known_of(metric, features_of(parent.value()))), [parent])

        return self._once((parent.key, metric_name), make)

    def stages_of(self, step: Step, name: str, metric_names: list[str]) -> list[Stage]:
        """Return the stages of what is known and of the floors, with the features that they need: of generation 0."""
        stages: list[Stage] = []
        for subset, sampled in step.again.items():
            stages.append(self._embed(sampled, name))
            for metric_name in metric_names:
                if self.takes(subset, self._lab.metrics[metric_name][0]):
                    place = step, subset, name, metric_name
                    stages += [stage for stage in (self.known(*place), self.floor(*place)) if stage is not None]
        return stages

    def fingerprint(self) -> dict[str, Any]:
        """Return the sizes of such a prompt set, and the name of the reference."""
        n = self._lab.n_samples
        return {"n": n, "n_reference": n, "n_floor": n, "reference": REFERENCE}

    def _first(self, first: Step, subset: str, name: str) -> Stage:
        sampled = first.samples[subset]
        return self._once((sampled.key, name), lambda: self._embed(sampled, name))

    def _once(self, place: tuple[str, ...], make: Callable[[], Stage]) -> Stage:
        """Return the stage of a place, kept in memory because every generation is compared with it."""
        if place not in self._stages:
            self._stages[place] = make()
        return self._stages[place]


def compares(metric: Metric) -> bool:
    """Return whether a metric's values depend on the rows that it compares with; it says so if they do not."""
    return bool(getattr(metric, "compares", True))
