"""Compose a configuration from overrides, as the command line does, and check what needs no class of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from collapse_lab.config.arguments import check_nodes
from collapse_lab.config.explain import check_choices, explain
from collapse_lab.config.names import check_names
from collapse_lab.config.nodes import check_groups, check_members
from collapse_lab.config.repeated import check_repeated
from collapse_lab.config.scales import at_scale
from collapse_lab.config.schema import Root, check_shortcuts, drop_unread, read_root
from collapse_lab.config.searchpath import CONF, folders, further_folder, register
from collapse_lab.config.sources import keys_of
from collapse_lab.errors import UnknownArgument, UserError, did_you_mean

VERSION_BASE = "1.3"
STUBS = ("features", "metrics", "model")  # groups of which a scale may name members that a run does not have


@dataclass(frozen=True)
class Composed:
    """Hold one composed configuration and how it was asked for.

    Args:
        cfg: the configuration, without Hydra's own node.
        overrides: what the command line said, as Hydra keeps it.
    """

    cfg: DictConfig
    overrides: tuple[str, ...]

    @property
    def root(self) -> Root:
        """Return the checked root."""
        return read_root(self.cfg)


def compose(*overrides: str, config_dir: str | Path | None = None) -> Composed:
    """Return the configuration that a command line with these overrides would run.

    Args:
        overrides: `KEY=VALUE`, as on the command line.
        config_dir: a folder of further yaml files, as `--config-dir` names one. Later calls find its files only where
            they name it too.

    Example:
        >>> compose("+experiment=nepotistic", "ratio=0.5").root.ratio
        0.5

    Raises:
        UserError: an unknown key, group or option, a value that is missing or out of range, a shortcut that nothing
            reads, or no such folder.
    """
    # Hydra takes longer to import than a page of results may take
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    register()
    with further_folder(config_dir) as search:
        check_choices(overrides, folders())
        try:
            with initialize_config_dir(str(CONF), version_base=VERSION_BASE):
                line = [*at_scale(overrides, folders()), *search]
                cfg = hydra_compose("config", line, return_hydra_config=True)
            return checked(cfg, overrides, take_choices(cfg))
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            raise UserError(explain(error, folders(), overrides)) from error


def take_choices(cfg: DictConfig) -> dict[str, Any]:
    """Take Hydra's own node out of a composed configuration, and return the option chosen in each group."""
    choices = {str(group): option for group, option in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return choices


def checked(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, Any]) -> Composed:
    """Return a configuration that Hydra composed, after the checks that need no class of ours.

    Args:
        cfg: the composed configuration; stubs of a scale that fit nothing, and a `ratio` that nothing reads, are taken
            out of it.
        overrides: the task overrides of the command line.
        choices: the option chosen in each group.

    Raises:
        UserError: as `compose`.
    """
    _check_added(overrides)
    for override in overrides:
        check_repeated(override)
    check_groups(cfg)
    drop_stubs(cfg, overrides, choices)
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise UserError(f"{key} has to be given: add {key}=… to the command")
    check_shortcuts(cfg, list(overrides))
    read_root(cfg)
    drop_unread(cfg)
    check_names(cfg)
    check_members(cfg)
    try:
        check_nodes(cfg)
    except UnknownArgument as error:
        if any(error.place in override for override in overrides):
            raise
        raise UserError(
            f"{error} (a file of the configuration gives it, such as the experiment's: add ~{error.place})"
        ) from error
    return Composed(cfg, tuple(overrides))


def _check_added(overrides: Sequence[str]) -> None:
    """Refuse a key that `+` would add to the root of the configuration, where nothing would ever read it."""
    groups = [path.name for folder in folders() for path in folder.iterdir() if path.is_dir()]
    known = [field.name for field in fields(Root)] + groups
    for override in overrides:
        key = override.split("=")[0].split("@")[0].lstrip("+")
        if override.startswith("+") and key.replace("/", ".").split(".")[0] not in known:
            raise UserError(f"unknown key '{key}'; {did_you_mean(key, known)}")


def drop_stubs(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, Any]) -> None:
    """Take out what a scale says of features, metrics and parts of the model that this run does not have.

    Args:
        cfg: the composed configuration, which is changed.
        overrides: the task overrides of the command line.
        choices: the option chosen in each group.

    Raises:
        UserError: the command line itself says it.
    """
    for group in STUBS:
        nodes = cfg.get(group, {})
        own = _keys_of_option(group, choices.get(group)) if group == "model" else set()
        members = {str(name): node for name, node in nodes.items() if isinstance(node, DictConfig)}
        stubs = [name for name, node in members.items() if "_target_" not in node and name not in own]
        for name in stubs:
            if any(f"{group}.{name}." in override for override in overrides):
                raise UserError(f"{group} has no '{name}' in this run; {did_you_mean(name, set(nodes) - set(stubs))}")
            with open_dict(cfg):
                del nodes[name]


def _keys_of_option(group: str, option: Any) -> set[str]:
    """Return the keys of the file that was chosen in a group."""
    files = [folder / group / f"{option}.yaml" for folder in folders()]
    return {key for file in files if file.is_file() for key in keys_of(file)}
