"""What models learnt of domains that they never saw and kept of their own, in sentences for the head of the page."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np

from collapse_lab.metrics.catalogue import LOGARITHMIC
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.private import Place, on_others, on_own
from collapse_lab.results.run import Run

MOST_GROUPS = 4  # configurations that a sentence names one by one


def sentences(collection: Collection, name: Name) -> list[str]:
    """Return how a number changed on the domains that a model never saw, and how on its own.

    The change is that from the first to the last generation of a model: a mean over runs, models and domains, and a
    geometric mean for a metric on a logarithmic scale.

    Args:
        collection: The runs of the page.
        name: The number that says how well a model knows a domain.

    Returns:
        Two sentences; none where a configuration has no private domains, or one generation.
    """
    unseen, own = (
        [change for group in collection.seed_groups if (change := _change(group, name, places)) is not None]
        for places in (on_others, on_own)
    )
    if min(len(unseen), len(own)) < len(collection.seed_groups):
        return []
    on_unseen, on_own_domain = (_told(collection, name, changes) for changes in (unseen, own))
    return [
        f"{name.spoken} on domains that a model never saw {on_unseen} over {collection.last} generations.",
        f"on a model's own domain it {on_own_domain}.",
    ]


def _change(group: SeedGroup, name: Name, places: Callable[[Run, Name], list[Place]]) -> float | None:
    """Return the mean change of one configuration, in logarithms where the metric is on a logarithmic scale."""
    changes, times = [], name.metric in LOGARITHMIC
    for run in group.runs:
        for model, key in places(run, name):
            known = [record.metrics[key] for record in run.records if record.model == model and key in record.metrics]
            if len(known) > 1 and not (times and min(known) <= 0):  # because an error of 0 has no logarithm
                changes.append(log(known[-1] / known[0]) if times else known[-1] - known[0])
    return float(np.mean(changes)) if changes else None


def _told(collection: Collection, name: Name, changes: list[float]) -> str:
    """Return in words how a number changed in each configuration, or between which bounds where they are many."""
    times = name.metric in LOGARITHMIC
    numbers = [f"{exp(change):.2f} times" if times else f"{change:+.2f}" for change in changes]
    labels = [group.label for group in collection.seed_groups]
    many = len(changes) > MOST_GROUPS
    if many:
        ends = [int(np.argmin(changes)), int(np.argmax(changes))]
        numbers, labels = [numbers[at] for at in ends], [labels[at] for at in ends]
    if times:
        numbers[0] += " as large"
    told = [f"{number} at {label}" if label else number for number, label in zip(numbers, labels, strict=True)]
    verb = "became" if times else "changed by"
    if many:
        return f"{verb} from {told[0]} to {told[1]}"
    *before, last = told
    return f"{verb} {', '.join(before)} and {last}" if before else f"{verb} {last}"
