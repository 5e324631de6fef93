"""What the class of an own metric or probe says of itself, read from its source, because an import may take torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

from collapse_lab.results.names import Name
from collapse_lab.results.run import Run

GROUPS = ("metrics", "probes")


def with_summary(name: Name, runs: Sequence[Run]) -> Name:
    """Return a name with the first line of its class's docstring, where the catalogue has no entry for it.

    The class is that of the metric or probe with the quantity's name, or with the beginning of it: `spread` gives
    `spread_of_means` too.

    Args:
        name: The name.
        runs: The runs; the first one whose configuration names the class and whose class is found counts.
    """
    if name.quantity is not None or name.is_part:
        return name
    targets = dict.fromkeys(target for run in runs for target in _targets(run, name.metric))
    return replace(name, summary=next(filter(None, map(summary_of, targets)), ""))


def summary_of(target: str) -> str:
    """Return the first line of the docstring of a class; "" where its source is not found on the path of Python.

    Args:
        target: The dotted name of the class, as a configuration has it.
    """
    module, _, name = target.rpartition(".")
    source = _source(module)
    if source is None:
        return ""
    try:
        body = ast.parse(source.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""
    found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    text = "" if found is None else ast.get_docstring(found) or ""
    return text.partition("\n")[0].strip()


def _targets(run: Run, metric: str) -> list[str]:
    """Return the classes of the metrics and probes that a quantity may be of."""
    found = []
    for group in GROUPS:
        nodes = run.config.get(group)
        for key, node in nodes.items() if isinstance(nodes, Mapping) else ():
            if isinstance(node, Mapping) and "_target_" in node and f"{metric}_".startswith(f"{key}_"):
                found.append((len(key), str(node["_target_"])))
    return [target for _, target in sorted(found, reverse=True)]


def _source(module: str) -> Path | None:
    """Return the file of a module; its packages are looked up and not imported."""
    path, spec, whole = None, None, ""
    for part in module.split("."):
        whole = f"{whole}.{part}" if whole else part
        spec = PathFinder.find_spec(whole, path) if part else None
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None
