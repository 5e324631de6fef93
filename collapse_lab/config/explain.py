"""Explain Hydra's errors in one clear sentence, with the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collapse_lab.errors import did_you_mean


def explain(error: Exception, folders: Sequence[Path]) -> str:
    """Return what was expected, what was given and how to mend it.

    Args:
        error: an exception of Hydra or OmegaConf.
        folders: the folders of configuration files, from which the nearest right name is taken.
    """
    # Imported here, because the other modules of this folder do without Hydra
    from hydra.errors import OverrideParseException

    text = str(error)
    if isinstance(error, OverrideParseException) and "=" not in error.override:
        return f"'{error.override}' is neither a command nor KEY=VALUE; --help lists the commands and the keys"
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' cannot be read as KEY=VALUE; close its brackets and quotes, and quote it in the shell"
        )
    if match := re.search(r"Could not override '([^']+)'", text):
        key, known = match[1], _keys(folders[0])
        if key in known:
            return f"'{key}' does not exist in what was chosen here, only in another choice of its group; leave it out"
        return f"unknown key '{key}'; {did_you_mean(key, known)}"
    if match := re.search(r"(?:In '[^']*': )?Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        options = sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))
        if not options:
            return f"unknown group '{group}'; {did_you_mean(group, _groups(folders))}"
        return f"unknown value '{option}' of {group}; {did_you_mean(option, options)}"
    if match := re.search(r"Could not override '?([\w/]+)'?\.\s*No match in the defaults list", text):
        return f"'{match[1]}' is no group of the configuration; {did_you_mean(match[1], _groups(folders))}"
    if text.startswith("Error merging override") and error.__cause__ is not None:
        reason = str(error.__cause__).splitlines()[0]
        return f"{text.removeprefix('Error merging override ')} cannot be given here: {reason}"
    if "Missing mandatory value" in text:
        key = getattr(error, "full_key", None) or text.rpartition(" ")[2]
        return f"{key} has to be given: add {key}=… to the command"
    return " ".join(text.split())


def _groups(folders: Sequence[Path]) -> list[str]:
    """Return every group of the configuration, as a path."""
    return [path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_dir()]


def _keys(conf: Path) -> list[str]:
    """Return every key of the default configuration, dotted."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config"), resolve=False)
    return _dotted(plain, "")


def _dotted(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    return [name for key, value in node.items() for name in (f"{prefix}{key}", *_dotted(value, f"{prefix}{key}."))]
