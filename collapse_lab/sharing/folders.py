"""Find a run folder, and read its configuration back with the paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.signature import MASKED
from collapse_lab.engine.outcome import Outcome
from collapse_lab.errors import UserError
from collapse_lab.results.run import Run, read_run
from collapse_lab.storage.formats import ENVIRONMENT, FORMAT, MARK
from collapse_lab.storage.ledger import LEDGER, runs_below

UNUSED = ("metrics", "probes", "sinks")  # what decides about no fit and no sample, and may need weights
SHOWN = 5  # runs of a folder that a message names
EXAMPLE = "a folder such as runs/nepotistic/0123456789ab"
ELSEWHERE = "paths.store=…, paths.data=… or model.pretrained=…"  # what may lie elsewhere than when the run was computed


def read_one_run(path: Path) -> Run:
    """Return the one run that a path names.

    Args:
        path: a run folder, or its ledger.

    Raises:
        UserError: there is no run, there are several, or it has another format than today's.
    """
    if not path.exists():
        raise UserError(f"expected a run folder, and '{path}' is not there: give {EXAMPLE}")
    folder = path.parent if path.name == LEDGER else path
    if not (folder / LEDGER).is_file():
        raise _not_one_run(folder)
    run = read_run(folder)
    if run.format != FORMAT:
        raise UserError(
            f"{folder} is a run of format {run.format}, and format {FORMAT} is exported: compute it anew by this "
            "version of collapse_lab, or export it by the version that wrote it"
        )
    return run


def environment_of(folder: Path) -> dict[str, Any]:
    """Return where and by which command a run was computed.

    Raises:
        UserError: the file that says so cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads((folder / ENVIRONMENT).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / ENVIRONMENT} cannot be read ({error}), and it says where the run's store is: restore it"
        ) from error
    return content


def store_of(folder: Path) -> Path:
    """Return the folder of the store of a run. A store that lay inside the folder of runs has moved with it.

    Raises:
        UserError: the file that says so cannot be read.
    """
    return Path(_paths(folder)["store"])


def configuration_of(run: Run, changes: Sequence[str]) -> DictConfig:
    """Return the configuration of a run with the paths of this machine, on the CPU, without what measures it.

    Args:
        run: the run.
        changes: KEY=VALUE of what lies elsewhere now than when the run was computed.

    Raises:
        UserError: a change is of another form, or of a setting that the run does not have.
    """
    given = dict(map(_pair, changes))
    paths = _paths(run.folder) | {key[6:]: value for key, value in given.items() if key.startswith("paths.")}
    plain = {key: value for key, value in run.config.items() if key != MARK} | {name: {} for name in UNUSED}
    # Because a key is made of the masks, every other node has to refer to the paths, and not to hold them
    referring = _unmasked(plain, {f"<{name}>": f"${{paths.{name}}}" for name in paths} | {MASKED: "${device}"})
    cfg: DictConfig = OmegaConf.create(referring | {"paths": paths, "device": "cpu"})
    for key, value in given.items():
        if not _has(plain, key):
            raise UserError(f"the run has no setting '{key}': give what lies elsewhere on this machine, as {ELSEWHERE}")
        OmegaConf.update(cfg, key, value if key.startswith("paths.") else _read(value))
    return cfg


def _not_one_run(folder: Path) -> UserError:
    runs = runs_below(folder) if folder.is_dir() else []
    if not runs and (folder / "cells").is_dir():  # because the folder of a sweep names the runs of its cells
        found = {Outcome.read(file).run for file in (folder / "cells").glob("*.json")}
        runs = [Path(run) for run in sorted(found) if run]
    if not runs:
        return UserError(f"'{folder}' is no run folder, which holds config.yaml and {LEDGER}: give {EXAMPLE}")
    named = ", ".join(map(str, runs[:SHOWN])) + (", …" if len(runs) > SHOWN else "")
    return UserError(f"'{folder}' is a folder of runs, and one is exported at a time: give one of {named}")


def _pair(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UserError(
            f"'{change}' is neither an option nor KEY=VALUE; `collapse-lab export --help` lists the options"
        )
    return key, value


def _read(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _has(settings: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True


def _unmasked(value: Any, real: Mapping[str, str]) -> Any:
    """Return a value of a configuration with what stands for the masks of paths and of the device in their places."""
    if isinstance(value, Mapping):
        return {key: _unmasked(item, real) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmasked(item, real) for item in value]
    if isinstance(value, str):
        mask, slash, rest = value.partition("/")
        return real.get(mask, mask) + slash + rest
    return value


def _paths(folder: Path) -> dict[str, str]:
    """Return the folders of a run. A store that lay inside the folder of runs has moved with it."""
    recorded = {name: Path(str(path)).expanduser() for name, path in environment_of(folder)["paths"].items()}
    runs, store = folder.resolve().parents[1], recorded["store"]
    if store.is_relative_to(recorded["runs"]):
        store = runs / store.relative_to(recorded["runs"])
    return {name: str(path) for name, path in (recorded | {"runs": runs, "store": store}).items()}
