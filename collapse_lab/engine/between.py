"""Compare the samples of the members of a population with each other, generation after generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collapse_lab.engine.lab import Lab
from collapse_lab.engine.measuring import estimates_of, is_between
from collapse_lab.engine.payloads import features_of
from collapse_lab.engine.plan import Step
from collapse_lab.engine.stages import Stage
from collapse_lab.seeds import Seeds
from collapse_lab.types import Estimate, Task


class Between:
    """Compute the metrics that compare one member's samples with another's.

    Args:
        lab: the run.
        embed: returns the stage of the features of some samples in a feature space.
    """

    def __init__(self, lab: Lab, embed: Callable[[Stage, str], Stage]) -> None:
        self._lab, self._embed = lab, embed
        self._names = [name for name, (metric, _) in lab.metrics.items() if is_between(metric)]

    def measure(self, step: Step, beside: Sequence[Step], subset: str, space: str) -> dict[str, Estimate]:
        """Return `<quantity>_<member>` -> estimate for each of the other members.

        Args:
            step: what is measured.
            beside: the steps of other members in the same generation.
            subset: the prompt set.
            space: the feature space.
        """
        metrics = {name: self._lab.metrics[name][0] for name in self._names}
        chosen = {
            name: metric for name, metric in metrics.items() if metric.features is None or space in metric.features
        }
        if not chosen or not beside:
            return {}
        own = features_of(self._embed(step.samples[subset], space).value())
        out: dict[str, Estimate] = {}
        for other in beside:
            if subset not in other.samples:
                continue
            theirs = features_of(self._embed(other.samples[subset], space).value())
            for name, metric in chosen.items():
                place = Seeds(
                    self._lab.seed, step.generation, step.model, f"metric/{subset}/{space}/{name}/{other.model}"
                )
                (estimates,) = estimates_of([Task(metric, own, theirs, place.numpy(), None)])
                out |= {f"{key}_{other.model}": estimate for key, estimate in estimates.items()}
        return out
