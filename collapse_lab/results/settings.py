"""Settings of a run: the dotted names of a nested configuration, and how names and values are written for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# These settings say where and how a run is computed. They cannot change its numbers, and its signature leaves them out.
IGNORED_SETTINGS = (
    "paths",
    "sinks",
    "store",
    "hydra",
    "device",
    "dry_run",
    "objective",
    "processes",
    "signature",
    "format",
)
# The same of settings within a node: how cells share programs, and how often a checkpoint is written
IGNORED_PLACES = ("trainer.pack", "trainer.checkpoint_minutes")
SCHEDULED = ("by_generation", "first", "exponent")  # the keys of a value that changes over the generations
ABSENT = "–"  # stands for the value of a setting that a run does not have


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with dotted names, without the settings that cannot change the numbers of a run.

    Args:
        config: The nested configuration of a run.

    Returns:
        The value of each setting by its dotted name, e.g. `{"model.guidance_scale": 2}`.
    """
    flat = _flatten({key: value for key, value in config.items() if key not in IGNORED_SETTINGS})
    return {key: value for key, value in flat if key not in IGNORED_PLACES}


def labelled(knobs: Mapping[str, Any]) -> str:
    """Return settings as one line of text for a reader, e.g. "ratio 0.1, no guidance_scale"."""
    return ", ".join(_described(knob, value) for knob, value in knobs.items())


def shown(value: Any) -> str:
    """Return the value of a setting as text for a reader.

    1.0 and 1 give the same text, and the path of a class of this package is cut down to the name of the class.
    """
    if isinstance(value, str) and value.startswith("collapse_lab."):
        return value.rpartition(".")[2]
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """Return the value of a setting as a cell of a table holds it: a list or a mapping becomes text."""
    return str(value) if isinstance(value, list | dict) else value


def short(knob: str) -> str:
    """Return the last component of a dotted name; for the class of a configuration group, the name of the group.

    The parts of a schedule keep the name of what is scheduled: `model.guidance_scale.by_generation` is
    "guidance_scale by generation".
    """
    owner, _, last = knob.removesuffix("._target_").rpartition(".")
    return f"{owner.rpartition('.')[2]} {last.replace('_', ' ')}" if owner and last in SCHEDULED else last


def joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence, e.g. "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def title_of(knob: str) -> str:
    """Return what headings and legends call a knob: its short name, or "experiment" for the experiment's name."""
    return "experiment" if knob == "name" else short(knob)


def is_number(value: Any) -> bool:
    """Return whether a value is an integer or a float; a boolean is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def sort_key(value: Any) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by size, and all other values after them by their text."""
    return (False, float(value), "") if is_number(value) else (True, 0.0, str(value))


def _described(knob: str, value: Any) -> str:
    if knob == "name":
        return shown(value)
    return f"no {short(knob)}" if value == ABSENT else f"{short(knob)} {shown(value)}"


def _flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            items += _flatten(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items
