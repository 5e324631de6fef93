"""Which runs may be compared: those whose features were made with the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from collapse_lab.errors import UserError
from collapse_lab.results.names import Name

if TYPE_CHECKING:
    from collapse_lab.results.collect import Run

Fingerprints = Mapping[str, Mapping[str, Any]]


def differences(a: Fingerprints, b: Fingerprints) -> list[str]:
    """What differs in the feature spaces that both have, e.g. "classifier, seen: n 600 against 64".

    A space, or a prompt set of it, that only one of them has is no difference: no number of the one stands beside a
    number of the other.
    """
    first, second = _parts(a), _parts(b)
    return [
        f"{part}: {key} {_shown(first[part].get(key))} against {_shown(second[part].get(key))}"
        for part in first
        if part in second
        for key in dict.fromkeys([*first[part], *second[part]])
        if first[part].get(key) != second[part].get(key)
    ]


def groups(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """A partition of `runs` within whose groups any two numbers of one metric may be compared.

    A run joins the first group that has nothing unlike in the spaces that they share. Runs with most spaces are placed
    first: with fewer spaces a run may fit into several groups, and must not bring two unlike ones together. A run
    without fingerprints has nothing to compare, and stands in the first group. Groups, and runs within them, keep
    the order of `runs`.
    """
    parts = [{part: json.dumps(v, sort_keys=True) for part, v in _parts(run.fingerprints).items()} for run in runs]
    made: list[dict[str, str]] = []
    place = [0] * len(runs)
    for i in sorted(range(len(runs)), key=lambda i: -len(parts[i])):
        fits = (g for g, has in enumerate(made) if all(has.get(part, v) == v for part, v in parts[i].items()))
        place[i] = next(fits, len(made))
        if place[i] == len(made):
            made.append({})
        made[place[i]].update(parts[i])
    order = dict.fromkeys(place)
    return [tuple(run for run, at in zip(runs, place, strict=True) if at == group) for group in order]


def between(some: Sequence[Run], others: Sequence[Run]) -> list[str]:
    """What differs between two of `groups`: the `differences` of the first runs of either that have any."""
    found = (differences(a.fingerprints, b.fingerprints) for a in some for b in others)
    return next((unlike for unlike in found if unlike), [])


def require_alike(runs: Sequence[Run], metric: str) -> None:
    """Passes where the feature space of `metric` is the same in all `runs` that have it; a probe has none.

    Raises:
        UserError: what differs between two of them.
    """
    space = Name.of(metric).features
    having = [run for run in runs if space in run.fingerprints]
    for run in having[1:]:
        unlike = differences({space: having[0].fingerprints[space]}, run.fingerprints)
        if unlike:
            raise UserError(
                f"'{metric}' of {having[0].name} {having[0].signature} and {run.name} {run.signature} must not be "
                f"compared, since their features differ ({'; '.join(unlike)}). Give runs that were measured alike, "
                "or measure one of them again with the features of the other"
            )


def _parts(fingerprints: Mapping[str, Any], where: str = "") -> dict[str, dict[str, Any]]:
    """The plain values of each mapping, by its place: "classifier", "classifier, seen"."""
    parts: dict[str, dict[str, Any]] = {}
    plain = {key: value for key, value in fingerprints.items() if not isinstance(value, Mapping)}
    if where and plain:
        parts[where] = plain
    for key, value in fingerprints.items():
        if isinstance(value, Mapping):
            parts |= _parts(value, f"{where}, {key}" if where else key)
    return parts


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = str(value)
    return f"{text[:6]}…" if re.fullmatch(r"[0-9a-f]{12,}", text) else text
