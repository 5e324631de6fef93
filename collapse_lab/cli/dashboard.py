"""`collapse-lab dashboard ENTITY/PROJECT`: a view and a report of runs in Weights & Biases, or a sweep for agents."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.cli.overrides import parsed
from collapse_lab.errors import UserError

PLACE = re.compile(r"[\w.-]+/[\w.-]+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the dashboard of some runs, or print what it would be, or print the yaml of a sweep.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0, or 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab dashboard",
        description="Write a saved view and a report about runs to a project of Weights & Biases: curves by group with "
        "bands over seeds, dose and response, pictures and training rows by generation, fits, texts. The runs are read "
        "from their folders here; `collapse-lab sync` uploads their numbers.",
        epilog="Exit code: 0 all is well; 2 bad input, or Weights & Biases refused.",
    )
    parser.add_argument("place", metavar="ENTITY/PROJECT", help="the project in Weights & Biases")
    parser.add_argument("given", nargs="*", metavar="PATH", help="run folders, or folders of runs (default: runs)")
    parser.add_argument("--dry-run", action="store_true", help="print the dashboard as yaml; needs no account")
    parser.add_argument(
        "--agents",
        action="store_true",
        help="print the yaml of a sweep that `wandb agent` computes; KEY=VALUE of the sweep stand in the place of PATH",
    )
    options = parser.parse_intermixed_args(arguments)  # because PATHs may stand behind options
    try:
        if not PLACE.fullmatch(options.place):
            raise UserError(f"expected ENTITY/PROJECT, such as my-team/collapse_lab, and got '{options.place}'")
        entity, project = options.place.split("/")
        if options.agents:
            print(_yaml(sweep_of(options.given, entity, project)), end="")
            return 0
        _show([Path(path) for path in options.given or ["runs"]], entity, project, options.dry_run)
    except UserError as error:
        print(f"collapse_lab: {error}", file=sys.stderr)
        return 2
    return 0


def sweep_of(overrides: Sequence[str], entity: str, project: str) -> dict[str, Any]:
    """Return the sweep of W&B that computes the same cells as a command line with `-m`.

    Args:
        overrides: the command line, `ratio=0,0.1,1` and so on.
        entity: the W&B user or team.
        project: the project.

    Raises:
        UserError: an override cannot be read, or none has several values.
    """
    given = parsed(overrides)
    swept = {
        str(override.get_key_element()): [_value(text) for text in override.sweep_string_iterator()]
        for override in given
        if override.is_sweep_override()
    }
    if not swept:
        raise UserError("a sweep has a key with several values, such as ratio=0,0.1,1 seed=0,1,2; got none")
    fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
    online = [f"sinks.wandb.project={project}", f"sinks.wandb.entity={entity}", "sinks.wandb.mode=online"]
    return {
        "entity": entity,
        "project": project,
        "method": "grid",
        "command": ["collapse-lab", *fixed, *online, "${args_no_hyphens}"],
        "parameters": {key: {"values": values} for key, values in swept.items()},
    }


def _value(text: str) -> Any:
    """Return a number as a number, so that W&B draws it on an axis, and everything else as its text."""
    value = yaml.safe_load(text)
    return value if isinstance(value, int | float) else text


def _show(paths: Sequence[Path], entity: str, project: str, dry_run: bool) -> None:
    from collapse_lab.report.dashboard import dashboard
    from collapse_lab.results.collect import collect

    wanted = dashboard(collect(paths, strict=False))
    if dry_run:
        print(_yaml({"entity": entity, "project": project, **wanted.plain()}), end="")
        return
    from collapse_lab.cli.publishing import publish

    for address in publish(wanted, entity, project):
        print(address)


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    sys.exit(main())
