"""The command line: composes the configuration, checks it, builds the objects and runs the loop.

The one module that starts hydra. Nothing heavy is imported until a run needs it, so `--help`, a finished run and a
typing error answer at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from collapse_lab import sweep
from collapse_lab.errors import UserError
from collapse_lab.explain import explain

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # a wheel, or a checkout

log = logging.getLogger(__name__)


def main() -> None:
    """Runs what the command line says; exit code 0 when all is well, 2 for bad input, 130 after Ctrl-C."""
    # The cells of one sweep line meet in one folder, and the same line again means the same sweep
    line = "\0".join(sorted(sys.argv[1:]))
    os.environ["COLLAPSE_LAB_SWEEP"] = hashlib.sha256(line.encode()).hexdigest()[:10]
    # Hydra then raises its errors instead of printing them, and they can be explained
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _compose_and_run()
    except KeyboardInterrupt:
        sys.exit(_fail("stopped. What is done is kept: the same command goes on from there", 130))
    except UserError as error:
        sys.exit(_fail(str(error), 2))
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(_fail(explain(error, CONF), 2))
    finally:
        sweep.close()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _compose_and_run(cfg: DictConfig) -> None:
    try:
        task(cfg)
    except UserError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # Hydra runs the other cells first, then raises it again
        sys.exit(_fail(str(error), 2))


def task(cfg: DictConfig) -> None:
    """One cell: everything that one composed configuration asks for."""
    from collapse_lab import run, schema

    context = HydraConfig.get()
    schema.check_shortcuts(cfg, list(context.overrides.task))
    root = schema.read_root(cfg)
    if root.dry_run:
        run.dry_run(cfg, root)
        return
    cell = None
    if context.mode == RunMode.MULTIRUN:
        cell = Path(context.sweep.dir) / "cells" / f"{context.job.num:04d}.json"
    run.run(cfg, root, cell)


def _fail(message: str, code: int) -> int:
    print(f"collapse_lab: {message}", file=sys.stderr)
    return code
