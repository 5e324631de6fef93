"""The command line: composes the configuration, checks it, builds the objects and runs the loop.

The one module that starts hydra. Nothing heavy is imported until a run needs it, so `--help`, a finished run and a
typing error answer at once.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from dataclasses import fields
from functools import partial
from pathlib import Path

import hydra
import yaml
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from collapse_lab.cli import sweep
from collapse_lab.config import schema
from collapse_lab.config.explain import explain
from collapse_lab.errors import UserError, did_you_mean

HERE = Path(__file__).resolve().parents[1]
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # a wheel, or a checkout


def main() -> None:
    """Runs what the command line says; exit code 0 when all is well, 2 for bad input, 130 after Ctrl-C."""
    # The cells of one sweep line meet in one folder, and the same line again means the same sweep
    line = "\0".join(sorted(sys.argv[1:]))
    os.environ["COLLAPSE_LAB_SWEEP"] = hashlib.sha256(line.encode()).hexdigest()[:10]
    # Hydra then raises its errors instead of printing them, and they can be explained
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _launch()
    except KeyboardInterrupt:
        sys.exit(_fail("stopped. What is done is kept: the same command goes on from there", 130))
    except UserError as error:
        sys.exit(_fail(str(error), 2))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        sys.exit(_fail(explain(error, CONF), 2))
    except (OSError, ValueError) as error:
        if any(frame.name in ("task", "run_queued") for frame in traceback.extract_tb(error.__traceback__)):
            raise
        # Hydra's own, before any code of ours is called: it makes the folder of runs, and reads its own flags
        message = str(error)
        if isinstance(error, OSError):
            message = f"cannot write to {error.filename} ({error.strerror}); give another folder with paths.runs=…"
        sys.exit(_fail(message, 2))
    finally:
        sweep.close()


def _launch() -> None:
    """All that the command line asks for. A cell that is refused stops no other, also of those that were queued."""
    try:
        _compose_and_run()
    except UserError:
        sweep.run_queued()
        raise
    sweep.run_queued()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _compose_and_run(cfg: DictConfig) -> None:
    try:
        task(cfg)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        message = str(error) if isinstance(error, UserError) else explain(error, CONF)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise UserError(message) from error  # Hydra runs the other cells first, then raises it again
        sys.exit(_fail(message, 2))


def task(cfg: DictConfig) -> None:
    """One cell: everything that one composed configuration asks for."""
    from collapse_lab.engine import run

    context = HydraConfig.get()
    overridden = list(context.overrides.task)
    cell = None
    if context.mode == RunMode.MULTIRUN:
        cell = Path(context.sweep.dir) / "cells" / f"{context.job.num:04d}.json"
    with sweep.outcome(cell, overridden):
        _check_added(overridden)
        _drop_stubs(cfg, overridden)
        for key in sorted(OmegaConf.missing_keys(cfg)):
            raise UserError(f"{key} has to be given: add {key}=… to the command")
        schema.check_shortcuts(cfg, overridden)
        root, pack = schema.read_root(cfg), _pack(cfg)
        if pack > 1 or (cell is not None and not _one_process()):
            # rich's own switch: the bars of several cells would overwrite each other
            os.environ["TTY_COMPATIBLE"] = "0"
        if root.dry_run:
            run.dry_run(cfg, root)
        elif cell is not None and pack > 1:
            sweep.enqueue(sweep.Cell(cell, overridden, pack, partial(_later, cfg, root, cell, context)))
        else:
            run.run(cfg, root, cell)


def _later(cfg: DictConfig, root: schema.Root, cell: Path, context: HydraConf) -> None:
    """A cell that was queued, after the launcher has put its own logging back."""
    from collapse_lab.engine import run

    configure_log(OmegaConf.create(context.job_logging), context.verbose)
    run.run(cfg, root, cell)


def _pack(cfg: DictConfig) -> int:
    """How many cells are to share a program.

    Raises:
        UserError: no whole number, or where there are no other cells in this process.
    """
    pack = cfg.trainer.get("pack", 1)
    schema.check_type("trainer.pack", pack, int)
    if pack > 1 and HydraConfig.get().mode != RunMode.MULTIRUN:
        raise UserError(
            f"trainer.pack={pack} fits the cells of a sweep as one program, and this is one run; give -m and what to "
            "sweep over (seed=0,1,2), or leave trainer.pack out"
        )
    if pack > 1 and not _one_process():
        launcher = HydraConfig.get().runtime.choices["hydra/launcher"]
        raise UserError(
            f"trainer.pack={pack} fits cells as one program, and hydra/launcher={launcher} starts a process for each; "
            "leave out one of the two"
        )
    return int(pack)


def _one_process() -> bool:
    """Whether the launcher runs the cells of a sweep one after the other in this process."""
    return "BasicLauncher" in HydraConfig.get().launcher["_target_"]


def _check_added(overridden: list[str]) -> None:
    """Refuses a key that `+` would add to the root of the configuration, where nothing would ever read it."""
    known = [field.name for field in fields(schema.Root)] + [path.name for path in CONF.iterdir() if path.is_dir()]
    for override in overridden:
        key = override.split("=")[0].split("@")[0].lstrip("+")
        if override.startswith("+") and key.replace("/", ".").split(".")[0] not in known:
            raise UserError(f"unknown key '{key}'; {did_you_mean(key, known)}")


def _drop_stubs(cfg: DictConfig, overridden: list[str]) -> None:
    """Takes out what a scale says of features, metrics and parts of the model that this run does not have.

    Raises:
        UserError: the command line itself says it.
    """
    for group in ("features", "metrics", "model"):
        nodes = cfg.get(group, {})
        own = _own_keys(group) if group == "model" else set()
        parts = {str(name): node for name, node in nodes.items() if isinstance(node, DictConfig)}
        stubs = [name for name, node in parts.items() if "_target_" not in node and name not in own]
        for name in stubs:
            if any(f"{group}.{name}." in override for override in overridden):
                raise UserError(f"{group} has no '{name}' in this run; {did_you_mean(name, set(nodes) - set(stubs))}")
            with open_dict(cfg):
                del nodes[name]


def _own_keys(group: str) -> set[str]:
    """The keys of the file that was chosen in a group."""
    chosen = HydraConfig.get().runtime.choices.get(group)
    file = CONF / group / f"{chosen}.yaml"
    return set(map(str, OmegaConf.load(file))) if file.is_file() else set()


def _fail(message: str, code: int) -> int:
    print(f"collapse_lab: {message}", file=sys.stderr)
    return code
