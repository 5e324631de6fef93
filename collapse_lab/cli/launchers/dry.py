"""`-m … dry_run=true`: what a sweep would compute and submit, on any launcher, and nothing is submitted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, filter_overrides
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from collapse_lab.cli import sweep
from collapse_lab.cli.launchers.cells import missing_stages, prepared
from collapse_lab.cli.launchers.ends import end_of
from collapse_lab.cli.launchers.waves import Ancestor, Place, after, ancestors
from collapse_lab.config.explain import explain
from collapse_lab.config.searchpath import folders
from collapse_lab.errors import UserError
from collapse_lab.results.sweeps import is_sweep

TARGET = "hydra_plugins.collapse_lab.DryLauncher"
# Settings of the launcher itself, which sbatch does not get
OWN = ("_target_", "waves", "poll_s", "chunk", "submitit_folder", "max_num_timeout", "stderr_to_stdout", "name")
# What a job needs, and the settings that say it
NEEDS = {
    "partition": ("partition",),
    "time": ("timeout_min",),
    "memory": ("mem_gb", "mem_per_gpu", "mem_per_cpu"),
    "GPUs": ("gpus_per_node", "gpus_per_task", "gres"),
    "CPUs": ("cpus_per_task", "cpus_per_gpu"),
}


def stand_in(config: DictConfig) -> None:
    """Put the launcher of dry runs into the place of that of a sweep.

    Args:
        config: the configuration of the sweep, which is changed.
    """
    settings = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    with flag_override(config.hydra, ["struct", "readonly"], [False, False]):
        config.hydra.launcher = {"_target_": TARGET, "_recursive_": False, "instead_of": settings}


class DryLauncher(Launcher):
    """Say what a sweep would compute and what its launcher would start; nothing is computed or started.

    Args:
        instead_of: the settings of that launcher.
    """

    def __init__(self, instead_of: Mapping[str, Any]) -> None:
        self._settings = dict(instead_of)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what composes a cell."""
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Print what the cells would compute, and return which of them are refused.

        A login node may have no GPU, and the keys of stages do not depend on the device.
        """
        from collapse_lab.cli import overrides, plan  # rich, with which the answer of --help would come later
        from collapse_lab.cli.planned import planned

        folder = Path(str(self._config.hydra.sweep.dir))
        slurm = str(self._settings.get("_target_", "")).endswith("SlurmLauncher")
        ends, experiments = [], []
        for number, line in enumerate(overrides.told(job_overrides), start=initial_job_idx):
            cell = sweep.Cell(folder, number, tuple(filter_overrides(line)))
            try:
                device = {"device": "cpu"} if slurm else {}
                experiments.append(prepared(self._context, self._config, line, **device))
                ends.append(end_of(cell, None))
            except (UserError, HydraException, OmegaConfBaseException) as error:
                reason = str(error) if isinstance(error, UserError) else explain(error, folders(), sys.argv[1:])
                print(f"refused: {' '.join(cell.overrides)}: {reason}", file=sys.stderr)
                ends.append(end_of(cell, UserError(reason)))
        if experiments:
            plan.show([planned(experiment) for experiment in experiments])
        if slurm:
            waves = self._settings.get("waves", False) and len(experiments) > 1
            for text in submission([missing_stages(one) for one in experiments], self._settings, waves):
                print(text)
        option = self._config.hydra.runtime.choices["hydra/launcher"]
        print(f"dry_run=true: hydra/launcher={option} started nothing; nothing was computed or submitted")
        _remove_notes(folder)
        return ends


def _remove_notes(folder: Path) -> None:
    """Remove what Hydra has written of a sweep that is not there, because a dry run leaves nothing."""
    if is_sweep(folder):
        return
    (folder / "multirun.yaml").unlink(missing_ok=True)
    with suppress(OSError):  # because a folder that holds something stays
        folder.rmdir()
        folder.parent.rmdir()


def submission(cells: Sequence[Sequence[Place]], settings: Mapping[str, Any], waves: bool) -> Iterator[str]:
    """Yield in words which jobs a sweep would submit, the first ones first, and what sbatch would get.

    Args:
        cells: for each cell the stages that the store does not hold.
        settings: those of the launcher.
        waves: whether what cells share are jobs of their own.
    """
    shared = ancestors(cells) if waves else []
    arrays = sum(-(-len(some) // settings.get("chunk", len(cells))) for some in after(shared, len(cells)).values())
    by_wave: dict[int, list[Ancestor]] = {}
    depths: list[int] = []
    for job in shared:
        depths.append(1 + max((depths[place] for place in job.after), default=0))
        by_wave.setdefault(depths[-1], []).append(job)
    yield f"{_counted(len(shared) + len(cells), 'job')} would be submitted:"
    for wave, jobs in sorted(by_wave.items()):
        stages = sum(len(job.stages) for job in jobs)
        later = ", after the wave before" if wave > 1 else ""
        yield f"  wave {wave}: {_counted(len(jobs), 'job')} for {_counted(stages, 'stage')} that cells share{later}"
    later = ", each after the jobs of what it shares" if shared else ""
    yield f"  wave {len(by_wave) + 1}: {_counted(len(cells), 'cell')} in {_counted(arrays, 'array')} of jobs{later}"
    given = {key: value for key, value in settings.items() if key not in OWN and value not in (None, {}, [])}
    yield f"  sbatch gets for each job: {', '.join(f'{key}={value}' for key, value in given.items())}"
    unsaid = [need for need, keys in NEEDS.items() if not any(key in given for key in keys)]
    if unsaid:
        yield f"  the cluster's own default for: {', '.join(unsaid)}"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("s" if number != 1 else "")
