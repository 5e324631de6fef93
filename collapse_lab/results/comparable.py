"""Which runs may be compared: those whose features were made with the same extractors, weights and data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.unlike import METRICS, Place, sentence, values_by_place

Fingerprints = Mapping[str, Mapping[str, Any]]


def differences(a: Fingerprints, b: Fingerprints) -> list[str]:
    """Return what differs in the feature spaces, prompt sets and metrics that both fingerprints have.

    What only one of them has is no difference: no number of the one is compared with a number of the other.

    Args:
        a: The fingerprint of each feature space of one run, "here" in the sentences.
        b: The same of another run, "there" in the sentences.

    Returns:
        One sentence for each difference, e.g. "floors rest on 63 rows here and on 200 there".
    """
    here, there = values_by_place(a), values_by_place(b)
    found = (
        sentence(place, key, here[place].get(key), there[place].get(key))
        for place in here
        if place in there
        for key in dict.fromkeys([*here[place], *there[place]])
        if here[place].get(key) != there[place].get(key)
    )
    return list(dict.fromkeys(found))  # because feature spaces share the sizes and the settings of metrics


def comparable_groups(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """Divide runs into groups, so that any two values of one metric within a group may be compared.

    A run joins the first group whose fingerprints agree with its own in all feature spaces, prompt sets and
    metrics that they share. Runs with the most of these are placed first: a run with few may fit into several groups,
    and must not bring two groups together that differ. A run without fingerprints joins the first group.

    Args:
        runs: The runs to divide.

    Returns:
        The groups. Groups, and the runs within them, keep the order of `runs`.
    """
    texts_of_runs = [
        {place: json.dumps(values, sort_keys=True) for place, values in values_by_place(run.fingerprints).items()}
        for run in runs
    ]
    texts_of_groups: list[dict[Place, str]] = []
    group_of_run = [0] * len(runs)
    for i in sorted(range(len(runs)), key=lambda i: -len(texts_of_runs[i])):
        fitting = (
            index
            for index, texts in enumerate(texts_of_groups)
            if all(texts.get(place, text) == text for place, text in texts_of_runs[i].items())
        )
        group_of_run[i] = next(fitting, len(texts_of_groups))
        if group_of_run[i] == len(texts_of_groups):
            texts_of_groups.append({})
        texts_of_groups[group_of_run[i]].update(texts_of_runs[i])
    order = dict.fromkeys(group_of_run)
    return [tuple(run for run, index in zip(runs, group_of_run, strict=True) if index == group) for group in order]


def group_differences(group: Sequence[Run], other: Sequence[Run]) -> list[str]:
    """Return what differs between two of the `comparable_groups`.

    Args:
        group: The runs of one group, "here" in the sentences.
        other: The runs of the other group, "there" in the sentences.

    Returns:
        The `differences` of the first pair of runs that has any; empty where no pair has one.
    """
    of_pairs = (differences(a.fingerprints, b.fingerprints) for a in group for b in other)
    return next((of_pair for of_pair in of_pairs if of_pair), [])


def require_comparable(runs: Sequence[Run], metric: str) -> None:
    """Check that the feature space of a metric, and its settings, are the same in all runs that have it.

    The settings of other metrics do not matter. A number such as `precision`, which has another name than the metric
    that measures it, may be of any metric, so all that two runs share must agree. A probe has no feature space, so it
    always passes.

    Args:
        runs: The runs whose values are to be compared.
        metric: The metric's name in the ledger.

    Raises:
        UserError: Two runs differ in the feature space or the settings of the metric; the message says how.
    """
    name = Name.of(metric)
    runs_with_space = [run for run in runs if name.features in run.fingerprints]
    for run in runs_with_space[1:]:
        first = runs_with_space[0]
        found = differences(*({name.features: _relevant(one, name)} for one in (first, run)))
        if found:
            raise UserError(
                f"'{metric}' of {first.name} {first.signature} (here) and {run.name} {run.signature} (there) must not "
                f"be compared, because {'; '.join(found)}. Give runs that were measured in the same way, or measure "
                "one of these runs again as the other was"
            )


def _relevant(run: Run, name: Name) -> Mapping[str, Any]:
    """Return the fingerprint of the feature space of a name, without the metrics that it is not of."""
    fingerprint = run.fingerprints[name.features]
    metrics = fingerprint.get(METRICS)
    if not isinstance(metrics, Mapping) or name.metric not in metrics:
        return fingerprint
    return {**fingerprint, METRICS: {name.metric: metrics[name.metric]}}
