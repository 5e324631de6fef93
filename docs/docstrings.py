"""Read what a class says of its arguments, without importing it: its docstring, and those of its bases."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDENT = 4  # spaces before an argument in a section `Args:`


@cache
def arguments_of(target: str) -> dict[str, str]:
    """Return what a class says of each of its arguments.

    Args:
        target: the dotted name of the class, as a yaml file has it.

    Returns:
        Texts by the names of the arguments; nothing for a class outside this project.
    """
    module, _, name = target.rpartition(".")
    tree = _parsed(module)
    if tree is None:
        return {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            said: dict[str, str] = {}
            for base in node.bases:
                if isinstance(base, ast.Name):
                    said |= arguments_of(f"{module}.{base.id}")
            return said | _section(ast.get_docstring(node) or "")
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return arguments_of(f"{node.module}.{name}")
    return {}


@cache
def _parsed(module: str) -> ast.Module | None:
    place = ROOT.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return ast.parse(path.read_text())
    return None


def _section(docstring: str) -> dict[str, str]:
    """Return the arguments of the section `Args:` of a docstring of Google's form."""
    found = re.search(r"^Args:\n((?: .*\n?|\n)+)", docstring, re.MULTILINE)
    if found is None:
        return {}
    said: dict[str, str] = {}
    name = ""
    for line in found[1].splitlines():
        text = line.strip()
        if len(line) - len(line.lstrip()) == INDENT and (match := re.match(r"(\w+): (.*)", text)):
            name, said[match[1]] = match[1], match[2]
        elif name and text:
            said[name] += f" {text}"
    return said
