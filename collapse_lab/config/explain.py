"""Explain Hydra's errors in one clear sentence, with the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.errors import UserError, did_you_mean


def check_choices(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse a group for which something else than the names of options is given, before Hydra stumbles over it.

    Args:
        overrides: what the user typed.
        folders: the folders of configuration files.

    Raises:
        UserError: a number, null or a mapping in the place of a name.
    """
    groups = set(_groups(folders))
    for override in overrides:
        if override.lstrip("+~").startswith("="):
            raise UserError(f"'{override}' has no key; write KEY=VALUE")
        group, text = _group_and_value(override)
        if group not in groups:
            continue
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            continue  # because Hydra has a grammar of its own, and says what is wrong
        names = value if isinstance(value, list) else [value]
        if text and not all(isinstance(name, str | bool) for name in names):
            options = options_of(group, folders)
            raise UserError(
                f"{group} takes the name of an option, such as {group}={options[0] if options else 'NAME'}; got {text}"
            )


def explain(error: Exception, folders: Sequence[Path], overrides: Sequence[str] = ()) -> str:
    """Return what was expected, what was given and how to mend it.

    Args:
        error: an exception of Hydra or OmegaConf.
        folders: the folders of configuration files, from which the nearest right name is taken.
        overrides: what the user typed; the nearest right key is one of what they choose.
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
    if match := re.search(r"Could not (override|delete) '?([\w/@.:]+)'?\.\s*No match in the defaults list", text):
        return _no_default(match[1], match[2], text, folders)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown(match[1], folders, overrides)
    if match := re.search(r"(?:In '[^']*': )?Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        options = options_of(group, folders)
        if not options:
            return f"unknown group '{group}'; {did_you_mean(group, _groups(folders))}"
        mend = did_you_mean(option, options)
        own = f"; own files are found with --config-dir FOLDER (FOLDER/{group}/{option}.yaml), or in a package"
        return f"unknown value '{option}' of {group}; {mend}{own if mend.startswith('known') else ''}"
    if text.startswith("Error merging override") and error.__cause__ is not None:
        return _not_merged(text.removeprefix("Error merging override "), str(error.__cause__).splitlines()[0])
    if match := re.search(r"Could not delete from config\. '([^']+)'", text):
        return f"'~{match[1]}' deletes what is not there; leave it out"
    if match := re.search(r"Additional config directory '([^']*)' not found", text):
        return f"--config-dir={match[1]} is no folder; correct it"
    if "Missing mandatory value" in text:
        key = getattr(error, "full_key", None) or text.rpartition(" ")[2]
        return f"{key} has to be given: add {key}=… to the command"
    return " ".join(text.split())


def _not_merged(override: str, reason: str) -> str:
    """Return what to write instead of an override whose value has another shape than the key."""
    if reason != "Cannot merge DictConfig with ListConfig":
        return f"{override} cannot be given here: {reason}; correct the value, or leave it out"
    # OmegaConf says the same of both directions
    if override.partition("=")[2].startswith("{"):
        return f"{override} gives a mapping, and the key takes a list; give KEY=[VALUE,…]"
    return f"{override} gives a list, and the key takes a mapping of names; give KEY.NAME=… for what is to change"


def _no_default(verb: str, key: str, text: str, folders: Sequence[Path]) -> str:
    """Return what to write for a group of which the defaults choose nothing, or no single option."""
    if key not in _groups(folders):
        return f"'{key}' is no group of the configuration; {did_you_mean(key, _groups(folders))}"
    if verb == "delete":
        return f"'~{key}' deletes one option of a group, and {key} takes a list; write {key}=[] for none"
    added = re.search(r"use \+\S+=(\S+)", text)
    option = added[1] if added else "NAME"
    wrong = "" if option in options_of(key, folders) else f", and {did_you_mean(option, options_of(key, folders))}"
    return f"nothing is chosen in the group '{key}' that could be replaced; write +{key}={option}{wrong}"


def _unknown(key: str, folders: Sequence[Path], overrides: Sequence[str]) -> str:
    """Return what to write for a key that Hydra could not override."""
    known = _keys(folders, _choices(overrides, folders))
    if key in known:
        return (
            f"'{key}' exists, and what was given has names that it has not; write +{key}.NAME=… for each new name "
            f"(~{key}.NAME takes one out)"
        )
    if key in _keys(folders, []):
        return f"'{key}' does not exist in what was chosen here, only in another choice of its group; leave it out"
    parent, _, last = key.rpartition(".")
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent]
    if not siblings or (not parent and get_close_matches(key, known, cutoff=0.5)):
        return f"unknown key '{key}'; {did_you_mean(key, known)}"
    if near := get_close_matches(last, siblings, n=1, cutoff=0.5):
        return f"unknown key '{key}'; did you mean '{parent}.{near[0]}'?"
    return f"unknown key '{key}'; {parent or 'the configuration'} has {', '.join(sorted(siblings))}"


def options_of(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the names of the options of a group, sorted."""
    return sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))


def _groups(folders: Iterable[Path]) -> list[str]:
    """Return every group of the configuration, as a path."""
    return [path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_dir()]


def _group_and_value(override: str) -> tuple[str, str]:
    """Return the group that an override chooses an option of, and the text of the option."""
    key, _, text = override.partition("=")
    return key.lstrip("+").partition("@")[0], text


def _choices(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the overrides that choose options; of a sweep over options, the first one."""
    groups = set(_groups(folders))
    chosen = [override for override in overrides if _group_and_value(override)[0] in groups and "=" in override]
    return [choice if "=[" in choice else choice.split(",")[0] for choice in chosen]


def _keys(folders: Sequence[Path], choices: list[str]) -> list[str]:
    """Return every key of the configuration with some choices, dotted; of the defaults where they do not compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    conf, *further = folders
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in further)}]"] if further else []
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            cfg = compose("config", [*choices, *search])
        except Exception:  # because it may be a choice that is wrong
            cfg = compose("config")
    return _dotted(OmegaConf.to_container(cfg, resolve=False), "")


def _dotted(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, Mapping):
        return []
    keys = [str(key) for key in node if key != "_target_"]
    return [name for key in keys for name in (f"{prefix}{key}", *_dotted(node[key], f"{prefix}{key}."))]
