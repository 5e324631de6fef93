"""Check that every node of a configuration has the shape that its group takes, before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig

from collapse_lab.config.schema import Root
from collapse_lab.errors import UserError

SINGLE = ("dataset", "model", "trainer", "mixing", "population", "curation", "store")  # groups of one node each
MANY = ("features", "metrics", "probes", "sinks")  # groups of any number of named nodes
ROLES = ("retrain", "base")  # what `prompts` says beside its sets
PATHS = ("runs", "store", "data")
ROOT = tuple(field.name for field in fields(Root))


def check_groups(cfg: DictConfig) -> None:
    """Refuse a configuration without one of its keys, and a group that has to be one node and is something else.

    Raises:
        UserError: a key of the root or a path is missing; a group is missing, no mapping, or has no `_target_`;
            `prompts` has no sets.
    """
    paths = _mapping("paths", cfg.get("paths"), "leave the group as it is, and give paths.runs=FOLDER")
    for key in [*(f"paths.{name}" for name in PATHS if name not in paths), *(key for key in ROOT if key not in cfg)]:
        raise UserError(f"{key} has to be given: add {key}=… to the command")
    for group in SINGLE:
        _check_node(group, cfg.get(group), f"choose an option of the group by {group}=NAME")
    remedy = "choose an option of the group by prompts=NAME"
    if not _mapping("prompts.sets", _mapping("prompts", cfg.get("prompts"), remedy).get("sets"), remedy):
        raise UserError(f"prompts.sets names one prompt set or more; got none: {remedy}")


def check_members(cfg: DictConfig) -> None:
    """Refuse named nodes and prompt sets of another shape than their groups take.

    Raises:
        UserError: a group is no mapping; a node is no mapping or has no `_target_`; a role of `prompts` is no text.
    """
    for group in MANY:
        nodes = _mapping(group, cfg.get(group), f"choose options of the group by {group}=[NAME]")
        for name, node in nodes.items():
            _check_node(f"{group}.{name}", node, f"choose options of the group by {group}=[NAME]")
    for name, node in cfg.prompts.sets.items():
        _check_node(f"prompts.sets.{name}", node, "give the argument that you mean, such as its labels")
    for role in ROLES:
        _check_role(role, cfg.prompts)


def _check_role(role: str, prompts: DictConfig) -> None:
    value = prompts.get(role)
    if not isinstance(value, str) and not (role == "base" and value is None):
        known = [*map(str, prompts.sets), *(["null"] if role == "base" else [])]
        raise UserError(f"prompts.{role} is the name of a prompt set ({', '.join(known)}); got {value!r}")


def _mapping(where: str, value: Any, remedy: str) -> Mapping[str, Any]:
    if not isinstance(value, DictConfig):
        raise UserError(f"{where} takes a mapping of names; got {value!r}: {remedy}")
    return value


def _check_node(where: str, node: Any, remedy: str) -> None:
    if not isinstance(node, DictConfig):
        raise UserError(f"{where} takes a mapping with a _target_; got {node!r}: {remedy}")
    if not isinstance(node.get("_target_"), str):
        raise UserError(f"{where}._target_ is the dotted name of a class; got {node.get('_target_')!r}: {remedy}")
