"""The run command: Hydra composes the configuration of each cell; here it is checked, prepared and run.

Nothing heavy is imported until a run needs it, so that `--help` and a typing error answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from collapse_lab.cli import sweep
from collapse_lab.cli.side_by_side import side_by_side
from collapse_lab.cli.workers import Round
from collapse_lab.config.binding import check_type
from collapse_lab.config.composing import Composed, checked
from collapse_lab.config.explain import explain
from collapse_lab.config.searchpath import add_folders, folders
from collapse_lab.errors import UserError
from collapse_lab.results.objective import objective_of
from collapse_lab.storage.files import disk_is_full, full_disk
from collapse_lab.types import Count

if TYPE_CHECKING:
    from collapse_lab.experiment import Experiment, Result
    from collapse_lab.types import Executor

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
MEND_DENIED = "change its permissions, or give other folders with paths.runs=…, paths.store=… or paths.data=…"
OURS = ("task", "serving_queue")  # the functions from which on an error is not Hydra's
LOST_JOB = (
    "a job of the cluster ended without a result, as one does that is killed or whose node fails. Jobs that still run "
    "go on; give the same command again, which goes on from what is stored"
)
INTERRUPTED = "stopped. What is done is kept: the same command goes on from there"


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what ends a launch into one line and an exit code: 2 for bad input, 130 after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(_fail(INTERRUPTED, 130))
    except BrokenPipeError:
        raise  # because nothing is wrong: `main` knows that nobody reads on
    except UserError as error:
        sys.exit(_fail(str(error), 2))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        sys.exit(_fail(explain(error, folders(), sys.argv[1:]), 2))
    except Exception as error:
        if disk_is_full(error):
            # Where the error has no file, it is Hydra's, which writes into the folder of the sweep
            place = getattr(error, "filename", None) or sweep.SweepStart.folder or "paths.runs"
            sys.exit(_fail(full_disk(place), 2))
        if _is_lost_job(error):
            sys.exit(_fail(LOST_JOB, 1))
        frames = traceback.extract_tb(error.__traceback__)
        if not isinstance(error, OSError | ValueError) or any(frame.name in OURS for frame in frames):
            raise
        # The error is Hydra's own, from before our code: Hydra makes the folder of runs, and reads its own flags
        message = str(error)
        if isinstance(error, OSError):
            message = f"cannot write to {error.filename} ({error.strerror}); give another folder with paths.runs=…"
        sys.exit(_fail(message, 2))
    finally:
        no_report = sweep.close()
        if no_report:
            _fail(no_report, 2)
    if no_report:
        sys.exit(2)


class Launch:
    """Hold the cells of one launch that wait to be packed. Hydra calls `task` once for each cell.

    Args:
        only_failed: whether the cells that have ended well are left out.
    """

    def __init__(self, only_failed: bool = False) -> None:
        self._queue: list[Callable[[Executor], None]] = []
        self._pack = 1
        self._round = Round(again=only_failed)
        sweep.SweepStart.forgets = "failed" if only_failed else "all"

    def start(self, program: Callable[[], None], which: Round) -> None:
        """Start Hydra, which calls `task` for each cell.

        Args:
            program: `task` as Hydra's program.
            which: the cells that run; the others are left out.
        """
        self._round = which
        sweep.SweepStart.forgets = "none"
        program()

    def task(self, cfg: DictConfig) -> float | None:
        """Run one cell: everything that one composed configuration asks for.

        Returns:
            The objective of the cell, where the configuration names one; None otherwise.
        """
        context = HydraConfig.get()
        overrides = list(context.overrides.task)
        # Here too, because a worker of a launcher has not read the command line
        add_folders(source.path for source in context.runtime.config_sources if source.schema == "file")
        is_sweep = context.mode == RunMode.MULTIRUN
        cell = sweep.Cell(Path(context.sweep.dir), context.job.num, tuple(overrides)) if is_sweep else None
        if cell is not None and not self._round.includes(cell):
            return None
        with _explained(is_sweep), sweep.recorded(cell):
            with open_dict(cfg):
                cfg.pop("hydra", None)
            composed = checked(cfg, overrides, {str(k): option for k, option in context.runtime.choices.items()})
            pack = _pack(cfg, context)
            if pack > 1 and composed.root.objective is not None:
                raise UserError(
                    f"trainer.pack={pack} runs cells after the sweeper is told of them, so that they have no "
                    "objective; leave out one of the two"
                )
            if pack > 1 or (is_sweep and not _one_process(context)):
                # rich's own switch: the bars of several cells would overwrite each other
                os.environ["TTY_COMPATIBLE"] = "0"
            if cell is not None:
                os.environ["COLLAPSE_LAB_GROUP"] = f"{composed.root.name} {cell.folder.name}"  # for the yaml of sinks
            from collapse_lab.experiment import prepare

            if composed.root.dry_run:
                _print_plan(prepare(composed))
                if cell is not None:
                    cell.finish("ok")
            elif cell is not None and pack > 1:
                cell.postpone()
                self._pack = max(self._pack, pack)
                self._queue.append(partial(_run_later, composed, cell, context))
            else:
                experiment = prepare(composed)
                sweep.name_run(cell, experiment.info.folder)
                with side_by_side(composed, experiment):
                    result = experiment.run()
                objective = composed.root.objective
                value = None if objective is None else objective_of(result.records, objective)
                _say(result, experiment.info.config, cell)
                return value
        return None

    @contextmanager
    def serving_queue(self) -> Iterator[None]:
        """Run the cells that were queued inside the block, at its end. A cell that is refused stops no other.

        Raises:
            BaseException: the first failure, after all cells have ended.
        """
        try:
            yield
        except UserError:
            self._serve_queue()
            raise
        self._serve_queue()

    def _serve_queue(self) -> None:
        if not self._queue:
            return
        from collapse_lab.packing.packed import run_packed

        for error in run_packed(self._queue, self._pack):
            if error is not None:
                raise error


def _run_later(composed: Composed, cell: sweep.Cell, context: HydraConf, executor: Executor) -> None:
    """Run a cell that was queued, after the launcher has put its own logging back."""
    from collapse_lab.experiment import prepare

    configure_log(OmegaConf.create(context.job_logging), context.verbose)
    with sweep.recorded(cell):
        experiment = prepare(composed, executor)
        sweep.name_run(cell, experiment.info.folder)
        _say(experiment.run(), experiment.info.config, cell)


def _say(result: Result, config: Mapping[str, Any], cell: sweep.Cell | None) -> None:
    """Print what a run came to, and leave it for the sweep."""
    from collapse_lab.sinks.console import own_metrics, print_table

    if not result.computed:
        print(f"already complete: {result.folder}")
        print_table(result.records, own_metrics(config))
    print(f"report: {result.report}")
    if cell is not None:
        cell.finish(result.status)


def _print_plan(experiment: Experiment) -> None:
    """Print the rows that each generation would train on, and the stages that would be computed."""
    from rich.console import Console
    from rich.table import Table

    plan = experiment.plan
    table = Table(title=f"{experiment.info.name} {experiment.info.signature}: what would run")
    for column in ("generation", "model", "real", "synthetic", "fit", "sample"):
        table.add_column(column, justify="right")
    for step in plan.steps:
        table.add_row(
            str(step.generation),
            step.model,
            str(step.counts["real"]),
            str(step.counts["synthetic"]),
            f"{'stored' if step.fit_ready else 'to do'} {step.fit[:8]}",
            f"{step.samples_ready} of {step.samples} stored",
        )
    Console(width=100).print(table)
    print(f"{plan.stages_to_do} stages would run, {plan.stages_ready} are in the store; nothing was computed")


def _pack(cfg: DictConfig, context: HydraConf) -> int:
    """Return how many cells share a program.

    Raises:
        UserError: not a whole number, or there are no other cells in this process.
    """
    pack = cfg.trainer.get("pack", 1)
    check_type("trainer.pack", pack, Count)
    if pack > 1 and context.mode != RunMode.MULTIRUN:
        raise UserError(
            f"trainer.pack={pack} fits the cells of a sweep as one program, and this is one run; give -m and what to "
            "sweep over (seed=0,1,2), or leave trainer.pack out"
        )
    if pack > 1 and not _one_process(context):
        launcher = context.runtime.choices["hydra/launcher"]
        raise UserError(
            f"trainer.pack={pack} fits cells as one program, and hydra/launcher={launcher} starts a process for each; "
            "leave out one of the two"
        )
    return int(pack)


def _one_process(context: HydraConf) -> bool:
    """Return whether the launcher runs the cells of a sweep one after the other in this process."""
    return "BasicLauncher" in context.launcher["_target_"]


@contextmanager
def _explained(is_sweep: bool) -> Iterator[None]:
    """Turn refusals into one line: raised in a sweep, whose other cells run first, else printed with exit code 2."""
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        if isinstance(error, OSError):
            if error.errno not in DENIED:
                raise
            message = f"no access to {error.filename or 'a file or folder'} ({error.strerror}): {MEND_DENIED}"
        else:
            message = str(error) if isinstance(error, UserError) else explain(error, folders(), sys.argv[1:])
        if is_sweep:
            raise UserError(message) from error
        sys.exit(_fail(message, 2))


def _is_lost_job(error: Exception) -> bool:
    """Return whether submitit, which is optional and so not imported, found no result of a job."""
    kind = type(error)
    return (kind.__module__.partition(".")[0], kind.__name__) == ("submitit", "UncompletedJobError")


def _fail(message: str, code: int) -> int:
    print(f"collapse_lab: {message}", file=sys.stderr)
    return code
