"""Which runs may be compared: those whose features were made with the same extractors, weights and data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run

Fingerprints = Mapping[str, Mapping[str, Any]]


def differences(a: Fingerprints, b: Fingerprints) -> list[str]:
    """Return what differs in the feature spaces that both fingerprints have.

    A feature space, or a prompt set of it, that only one of them has is no difference: no number of the one is
    compared with a number of the other.

    Args:
        a: The fingerprint of each feature space of one run.
        b: The same of another run.

    Returns:
        One sentence for each difference, e.g. "classifier, seen: n 600 against 64".
    """
    first, second = _values_by_place(a), _values_by_place(b)
    return [
        f"{place}: {key} {_shown(first[place].get(key))} against {_shown(second[place].get(key))}"
        for place in first
        if place in second
        for key in dict.fromkeys([*first[place], *second[place]])
        if first[place].get(key) != second[place].get(key)
    ]


def comparable_groups(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """Divide runs into groups, so that any two values of one metric within a group may be compared.

    A run joins the first group whose fingerprints agree with its own in all feature spaces that they share. Runs with
    the most feature spaces are placed first: a run with few spaces may fit into several groups, and must not bring
    two groups together that differ. A run without fingerprints joins the first group.

    Args:
        runs: The runs to divide.

    Returns:
        The groups. Groups, and the runs within them, keep the order of `runs`.
    """
    texts_of_runs = [
        {place: json.dumps(values, sort_keys=True) for place, values in _values_by_place(run.fingerprints).items()}
        for run in runs
    ]
    texts_of_groups: list[dict[str, str]] = []
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
        group: The runs of one group.
        other: The runs of the other group.

    Returns:
        The `differences` of the first pair of runs that has any; empty where no pair has one.
    """
    of_pairs = (differences(a.fingerprints, b.fingerprints) for a in group for b in other)
    return next((of_pair for of_pair in of_pairs if of_pair), [])


def require_comparable(runs: Sequence[Run], metric: str) -> None:
    """Check that the feature space of a metric is the same in all runs that have it.

    A probe has no feature space, so it always passes.

    Args:
        runs: The runs whose values are to be compared.
        metric: The metric's name in the ledger.

    Raises:
        UserError: Two runs differ in the feature space of the metric; the message says how.
    """
    space = Name.of(metric).features
    runs_with_space = [run for run in runs if space in run.fingerprints]
    for run in runs_with_space[1:]:
        first = runs_with_space[0]
        found = differences({space: first.fingerprints[space]}, run.fingerprints)
        if found:
            raise UserError(
                f"'{metric}' of {first.name} {first.signature} and {run.name} {run.signature} must not be compared, "
                f"because their features differ ({'; '.join(found)}). Give runs that were measured with the same "
                "features, or measure one of these runs again with the features of the other"
            )


def _values_by_place(fingerprints: Mapping[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return the values that are no mappings, by the place of their mapping: "classifier", "classifier, seen"."""
    by_place: dict[str, dict[str, Any]] = {}
    plain_values = {key: value for key, value in fingerprints.items() if not isinstance(value, Mapping)}
    if prefix and plain_values:
        by_place[prefix] = plain_values
    for key, value in fingerprints.items():
        if isinstance(value, Mapping):
            by_place |= _values_by_place(value, f"{prefix}, {key}" if prefix else key)
    return by_place


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = str(value)
    return f"{text[:6]}…" if re.fullmatch(r"[0-9a-f]{12,}", text) else text
