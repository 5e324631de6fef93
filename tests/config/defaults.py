"""The defaults of every class that a file of conf/ names; `python -m tests.config.defaults` writes defaults.json.

A key leaves out an argument that equals its default (`collapse_lab.config.identity`). So a default that changes while
the version of its class stays would give the key of the old results to new ones, and `tests/config/test_defaults.py`
compares the code with the committed file.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from collapse_lab.config.binding import import_target
from collapse_lab.config.identity import defaults_of, unsigned_in
from collapse_lab.config.schema import Root
from collapse_lab.config.searchpath import CONF
from collapse_lab.engine.keys import whole_numbers

FILE = Path(__file__).with_name("defaults.json")
COMMAND = "python -m tests.config.defaults"
PACKAGE = "collapse_lab."

Snapshot = Mapping[str, Mapping[str, Any]]  # class -> {"version", "required", "defaults"}


def snapshot() -> dict[str, dict[str, Any]]:
    """Return the version, the required arguments and the defaults of every class that a file of conf/ names."""
    files = sorted(CONF.rglob("*.yaml"))
    names = {name for file in files for name in _targets(OmegaConf.to_container(OmegaConf.load(file), resolve=False))}
    classes = {name: import_target(name, "conf") for name in sorted(names)}
    classes[f"{Root.__module__}.Root"] = Root
    return {name: described(target) for name, target in sorted(classes.items())}


def described(target: Any) -> dict[str, Any]:
    """Return what the snapshot holds of one class."""
    parameters = inspect.signature(target).parameters
    defaults = defaults_of(target)
    signed = defaults.keys() - unsigned_in(target, {})  # because the others are in no key
    return {
        "version": getattr(target, "version", 0),
        "required": sorted(name for name in parameters if name not in defaults),
        "defaults": {name: whole_numbers(value) for name, value in sorted(defaults.items()) if name in signed},
    }


def committed() -> dict[str, dict[str, Any]]:
    """Return the snapshot in the committed file."""
    plain = json.loads(FILE.read_text())
    assert isinstance(plain, dict)
    return plain


def breaches(old: Snapshot, new: Snapshot) -> list[str]:
    """Return what changes the meaning of keys that results were stored under: one line for each."""
    lines = []
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        if after["version"] < before["version"]:
            lines.append(f"{name}: the version went down from {before['version']} to {after['version']}")
        if after["version"] != before["version"]:
            continue
        for argument, default in before["defaults"].items():
            if argument not in after["defaults"]:
                lines.append(f"{name}.{argument}: its default {default!r} is gone")
            elif _text(after["defaults"][argument]) != _text(default):
                lines.append(
                    f"{name}.{argument}: the default changed from {default!r} to {after['defaults'][argument]!r}"
                )
        known = {*before["defaults"], *before["required"]}
        gone = set(before["required"]) - {*after["required"], *after["defaults"]}
        lines += [f"{name}.{argument}: the argument is gone" for argument in sorted(gone)]
        lines += [
            f"{name}.{argument}: a new argument has no default"
            for argument in after["required"]
            if argument not in known
        ]
    return [
        f"{line}, and the version of the class stayed; raise it" if "version" not in line else line for line in lines
    ]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # because True is 1 for Python and not for a key


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if str(value.get("_target_", "")).startswith(PACKAGE):
            yield value["_target_"]
        for item in value.values():
            yield from _targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _targets(item)


def main() -> int:
    """Write the snapshot; refuse where a default changed and the version did not."""
    new = snapshot()
    lines = breaches(committed(), new) if FILE.exists() else []
    if lines:
        print("\n".join(lines), file=sys.stderr)
        return 1
    FILE.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n")
    print(f"{len(new)} classes: {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
