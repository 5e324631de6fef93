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
    changes = [(_change(group, name, on_others), _change(group, name, on_own)) for group in collection.seed_groups]
    if any(change is None for pair in changes for change in pair):
        return []
    metric = name.short if name.short.isupper() else name.title.lower()
    on_unseen, kept = (_told(collection, name, [pair[at] for pair in changes]) for at in (0, 1))
    return [
        f"{metric} on domains that a model never saw {on_unseen} over {collection.last} generations.",
        f"on a model's own domain it {kept}.",
    ]


def _change(group: SeedGroup, name: Name, places: Callable[[Run, Name], list[Place]]) -> float | None:
    """Return the mean change of one configuration, in logarithms where the metric is on a logarithmic scale."""
    changes = []
    for run in group.runs:
        for model, key in places(run, name):
            known = [record.metrics[key] for record in run.records if record.model == model and key in record.metrics]
            if len(known) > 1:
                first, last = known[0], known[-1]
                changes.append(log(last / first) if name.metric in LOGARITHMIC else last - first)
    return float(np.mean(changes)) if changes else None


def _told(collection: Collection, name: Name, changes: list[float | None]) -> str:
    """Return in words how a number changed in each configuration, or between which bounds where they are many."""
    known = [change for change in changes if change is not None]
    times = name.metric in LOGARITHMIC
    numbers = [f"{exp(change):.2f} times" if times else f"{change:+.2f}" for change in known]
    labels = [group.label for group in collection.seed_groups]
    if len(known) > MOST_GROUPS:
        ends = [int(np.argmin(known)), int(np.argmax(known))]
        numbers, labels = [numbers[at] for at in ends], [labels[at] for at in ends]
    if times:
        numbers[0] += " as large"
    told = [f"{number} at {label}" if label else number for number, label in zip(numbers, labels, strict=True)]
    return f"{'became' if times else 'changed by'} {', '.join(told[:-1])}{' and ' if told[1:] else ''}{told[-1]}"
