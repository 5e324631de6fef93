"""Check every name of a configuration that becomes a part of a path, and the paths themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig

from collapse_lab.errors import UserError

LONGEST = 100  # characters; file systems take 255 bytes, and names get endings
RESERVED = ("sweeps",)  # a folder beside the runs of experiments
GROUPS = ("features", "metrics", "probes", "sinks")


def check_names(cfg: DictConfig) -> None:
    """Refuse names that would leave their folder, and paths that are empty.

    Raises:
        UserError: a name is not one plain part of a path, or a path is empty or null.
    """
    check_name("name", cfg.name)
    if cfg.name in RESERVED:
        raise UserError(f"name={cfg.name} is the folder of sweeps; give another name")
    for where, nodes in _mappings(cfg):
        if not isinstance(nodes, Mapping | DictConfig):
            raise UserError(f"{where} takes a mapping of names; got {nodes!r}")
        for name in nodes:
            check_name(f"a name in {where}", name)
    for name, path in cfg.paths.items():
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise UserError(f"paths.{name} is a folder; got {path!r}: give one, or leave it out")


def check_name(where: str, name: Any) -> None:
    """Refuse a name that is not one plain part of a path.

    Args:
        where: what the name is called in messages.
        name: a text of 1 to 100 printable characters without slashes, not beginning with a dot or a space.

    Raises:
        UserError: any other value.
    """
    plain = isinstance(name, str) and name.isprintable() and not any(c in name for c in "/\\")
    if not plain or not name or name[0] in ". " or len(name) > LONGEST:
        shown = repr(name) if len(repr(name)) <= LONGEST else f"{repr(name)[:LONGEST]}…"
        raise UserError(
            f"{where} is part of a path: 1 to {LONGEST} printable characters without / and \\, not beginning with a "
            f"dot or a space; got {shown}"
        )


def _mappings(cfg: DictConfig) -> Iterable[tuple[str, Any]]:
    """Return the mappings whose keys become names of files, pictures or numbers."""
    yield "prompts.sets", cfg.prompts.sets
    members = cfg.population.get("members")
    if members is not None:
        yield "population.members", members
    for group in GROUPS:
        yield group, cfg.get(group) or {}
