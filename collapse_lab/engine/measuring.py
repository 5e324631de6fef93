"""Call metrics: several in one call where they share work, and with what is known of the real rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from collapse_lab.types import Estimate, FeatureSet, Metric, Task


def offers(metric: Any, name: str) -> bool:
    """Return whether a metric has an optional member, `of_real` or `together`, that belongs to its own `__call__`.

    A subclass with a `__call__` of its own is called as it is, unless it defines the member anew.
    """
    for kind in type(metric).__mro__:
        if name in vars(kind) or "__call__" in vars(kind):
            return name in vars(kind)
    return False


def known_of(metric: Any, real: FeatureSet) -> dict[str, Tensor]:
    """Return what a metric's `of_real` finds, ready for the store."""
    return {name: values.contiguous() for name, values in metric.of_real(real).items()}


def estimates_of(tasks: Sequence[Task]) -> list[Mapping[str, Estimate]]:
    """Return the estimates of each task; metrics with the same `together` are computed by one call of it."""
    groups: dict[Any, list[int]] = {}
    for i, task in enumerate(tasks):
        shared = task.metric.together if offers(task.metric, "together") else i
        groups.setdefault(shared, []).append(i)
    found: dict[int, Mapping[str, Estimate]] = {}
    for together, places in groups.items():
        group = [tasks[i] for i in places]
        found |= zip(places, together(group) if callable(together) else map(_alone, group), strict=True)
    return [found[i] for i in range(len(tasks))]


def values_of(task: Task) -> dict[str, float]:
    """Return the values of one task without intervals, less those that are not finite, as a floor is stored."""
    (estimates,) = estimates_of([task])
    return {name: estimate.value for name, estimate in estimates.items() if math.isfinite(estimate.value)}


def _alone(task: Task) -> Mapping[str, Estimate]:
    named = {} if task.known is None else {"known": task.known}
    estimates: Mapping[str, Estimate] = task.metric(task.generated, task.real, task.rng, **named)
    return estimates


def is_between(metric: Metric) -> bool:
    """Return whether a metric compares members with each other, and not with real rows."""
    return bool(getattr(metric, "between", False))


def additions_of(metric: Metric) -> int:
    """Return how often a metric was given further numbers under the same version; earlier floors lack them."""
    return int(getattr(metric, "additions", 0))
