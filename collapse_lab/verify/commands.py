"""Command lines that run the groups of a claim."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from collapse_lab.verify.claims import Claim


def commands(claim: Claim) -> list[str]:
    """Return the commands that run the groups of a claim.

    Groups that differ in one setting are one sweep over it; otherwise each group is a sweep of its own over the seeds.
    """
    lines = [override_line(claim, overrides) for overrides in claim.groups.values()]
    settings = [dict(override.split("=", 1) for override in line) for line in lines]
    keys = dict.fromkeys(key for setting in settings for key in setting)
    differing = [key for key in keys if len({setting.get(key) for setting in settings}) > 1]
    if len(differing) == 1 and all(differing[0] in setting for setting in settings):
        values = ",".join(dict.fromkeys(setting[differing[0]] for setting in settings))
        settings = [{**settings[0], differing[0]: values}]
    return [_command([f"{key}={value}" for key, value in setting.items()], claim.seeds) for setting in settings]


def override_line(claim: Claim, overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the overrides of one group as a command line has them: the experiment, the claim's setting, its own."""
    experiment = overrides.get("experiment", claim.experiment)
    others = {**claim.setting, **{key: value for key, value in overrides.items() if key != "experiment"}}
    return (f"+experiment={experiment}", *(f"{key}={_written(value)}" for key, value in others.items()))


def _command(overrides: Sequence[str], seeds: Sequence[int]) -> str:
    words = ["python", "-m", "collapse_lab", "-m", *overrides, f"seed={_seeds(seeds)}"]
    return " ".join(map(shlex.quote, words))


def _seeds(seeds: Sequence[int]) -> str:
    """Return seeds in Hydra's grammar: a range where many of them follow on each other, or else a list."""
    if len(seeds) > 5 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"range({seeds[0]},{seeds[-1] + 1})"
    return ",".join(map(str, seeds))


def _written(value: Any) -> str:
    """Return a value in Hydra's grammar, which reads flow-style yaml."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**6)).split("\n")[0]
