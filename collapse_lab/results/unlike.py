"""What differs between the fingerprints of two runs, in sentences for a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collapse_lab.results.names import Name

Place = tuple[str, ...]  # the names that lead to a mapping of a fingerprint: ("classifier", "metrics", "kid")
METRICS, GROUPS = "metrics", "groups"

# What a prompt set of a feature space holds, by its key: the sentence about it
SIZES = {
    "n": "{0} samples are measured here and {1} there",
    "n_reference": "values rest on {0} real rows here and on {1} there",
    "n_floor": "floors rest on {0} rows here and on {1} there",
}
WORDS = {"dataset": "data set", "torch": "version of torch"}
PLURAL = ("weights", "dimensions", "classes")


def values_by_place(fingerprints: Mapping[str, Any], place: Place = ()) -> dict[Place, dict[str, Any]]:
    """Return the values that are no mappings, by the place of their mapping.

    Each metric has a place of its own, and so have the groups of a prompt set: a run may have a metric, or a metric of
    groups, that another one lacks, and the numbers of all other metrics can be compared nevertheless.

    Args:
        fingerprints: The fingerprint of each feature space, or a mapping within it.
        place: The names that lead to `fingerprints`.
    """
    by_place: dict[Place, dict[str, Any]] = {}
    for key, value in fingerprints.items():
        if isinstance(value, Mapping):
            by_place |= values_by_place(value, (*place, key))
        elif (len(place) == 2 and place[1] == METRICS) or (len(place) > 1 and key == GROUPS):
            by_place[*place, key] = {key: value}
        elif place:
            by_place.setdefault(place, {})[key] = value
    return by_place


def sentence(place: Place, key: str, here: Any, there: Any) -> str:
    """Return what differs as a sentence, e.g. "floors rest on 63 rows here and on 200 there".

    Args:
        place: The place of the values, as of `values_by_place`.
        key: The key of the values at that place.
        here: The value of the one run.
        there: The value of the other run.
    """
    space, *inner = place
    if inner[:1] == [METRICS]:
        return f"{Name.of(key).short} has other settings: {_settings(str(here), str(there))}"
    if not inner:
        verb = "are" if key in PLURAL else "is"
        return f"the {_words(key)} of {space} features {verb} {_shown(here)} here and {_shown(there)} there"
    of_prompts = "" if inner[0] == "all" else f" for {inner[0]} prompts"
    if key in SIZES:
        return SIZES[key].format(_shown(here), _shown(there)) + of_prompts
    if key == "reference":
        return f"values compare with {here or 'real rows'} here and with {there or 'real rows'} there{of_prompts}"
    if key == GROUPS:
        return f"the groups of prompts or labels are not the same here and there{of_prompts}"
    return f"the {_words(key)} of {', '.join(place)} is {_shown(here)} here and {_shown(there)} there"


def _settings(here: str, there: str) -> str:
    """Return those settings of a metric that differ, e.g. "k 5 here, k 3 there"."""
    sides = [_by_name(text) for text in (here, there)]
    names = [name for name in dict.fromkeys([*sides[0], *sides[1]]) if sides[0].get(name) != sides[1].get(name)]
    told = [
        " and ".join(f"{_words(name)} {side[name]}" if name in side else f"default {_words(name)}" for name in names)
        for side in sides
    ]
    return f"{told[0]} here, {told[1]} there"


def _by_name(settings: str) -> dict[str, str]:
    """Return the settings of a metric by their names, from the text of a fingerprint such as "v2 k=5"."""
    parts = re.split(r" (?=\w+=)", settings)
    pairs = (part.partition("=") if "=" in part else ("version", "", part.removeprefix("v")) for part in parts)
    return {name: value for name, _, value in pairs}


def _words(key: str) -> str:
    return WORDS.get(key, key.replace("_", " "))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{text[:6]}…" if re.fullmatch(r"[0-9a-f]{12,}", text) else text
