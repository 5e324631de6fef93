"""`hydra/launcher=slurm`: what cells share is submitted first, and the cells after it, as jobs of a SLURM cluster."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides
from hydra.errors import HydraException
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from collapse_lab.cli import sweep
from collapse_lab.cli.launchers.cells import missing_stages, prepared
from collapse_lab.cli.launchers.ends import end_of
from collapse_lab.cli.launchers.jobs import Leaving, Shared
from collapse_lab.cli.launchers.waves import Place, after, ancestors
from collapse_lab.engine.outcome import GOOD, Outcome
from collapse_lab.errors import UserError

if TYPE_CHECKING:
    from collapse_lab.experiment import Experiment

log = logging.getLogger(__name__)

INIT = ("submitit_folder", "max_num_timeout")  # what submitit's executor takes where it is made
MISSED = 3  # looks at the queue, one after the other, that do not find a job before it is called lost
# Reasons of squeue for which a job waits until its request, or the cluster, is changed
NEVER = frozenset({"PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints", "QOSMinGRES"})
# What sbatch says where it reaches no controller, in lower case
UNREACHABLE = (
    "unknown host",
    "unable to contact slurm controller",
    "unable to establish config",  # of a node without slurm.conf
    "could not establish a configuration source",
    "connection refused",
    "socket timed out",
)
SHARED = "that computes what it shares with other cells did"


class SlurmLauncher(BaseSubmititLauncher):  # type: ignore[misc]
    """Launch the cells of a sweep as jobs of a SLURM cluster, through submitit.

    Args:
        waves: whether stages that several cells share are computed by jobs of their own, after which the cells begin.
            Otherwise a cell waits inside its job for another that computes what it needs.
        poll_s: seconds between two looks at the queue, above 0.
        chunk: how many cells an array of jobs has at most; a cluster has its MaxArraySize.
        params: further arguments of submitit's executor, most of them those of sbatch.
    """

    _EXECUTOR = "slurm"

    def __init__(self, waves: bool = True, poll_s: float = 60, chunk: int = 1000, **params: Any) -> None:
        super().__init__(**params)
        self._waves, self._poll_s, self._chunk = waves, poll_s, chunk
        self._leaving = Leaving()

    def checkpoint(self, *arguments: Any, **named: Any) -> Any:
        """Return the call of a cell that is queued again: the same, which goes on from what is stored."""
        self._leaving.begin()
        return super().checkpoint(*arguments, **named)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the cells that have no outcome yet, wait for them, and return how each cell ended.

        Raises:
            UserError: there is no sbatch, or it refuses a job. What was submitted is cancelled then.
        """
        if shutil.which("sbatch") is None:
            raise UserError(
                "hydra/launcher=slurm submits with sbatch, and there is none on the PATH; give this command on a login "
                "node of the cluster, or give hydra/launcher=local"
            )
        folder = Path(str(self.config.hydra.sweep.dir))
        lines = dict(enumerate(job_overrides, start=initial_job_idx))
        sweep.queue(folder, initial_job_idx, job_overrides)
        cells = {number: sweep.Cell(folder, number, tuple(filter_overrides(line))) for number, line in lines.items()}
        due = {number: line for number, line in lines.items() if not cells[number].file.exists()}
        ids: list[str] = []
        try:
            submitted = self._submit(due, ids)
        except BaseException:
            if ids:
                subprocess.run(["scancel", *ids], check=False, capture_output=True, timeout=60)
            raise
        log.info("submitted the jobs %s, which go on without this process", " ".join(ids))
        self._wait(submitted)
        return [_result(cell, submitted.get(number)) for number, cell in cells.items()]

    def _submit(self, due: Mapping[int, Sequence[str]], ids: list[str]) -> dict[int, Any]:
        """Submit the jobs of what cells share, then those of the cells.

        Args:
            due: the overrides of each cell, by its number.
            ids: the id of every job or array of jobs, which is added to.

        Returns:
            The job of each cell, by its number.
        """
        numbers = list(due)
        waves = self._waves and len(due) > 1
        shared = ancestors([self._missing(due[number]) for number in numbers]) if waves else []
        for one in shared:
            executor = self._executor([ids[place] for place in one.after], "-shared")
            line = due[numbers[min(one.cells)]]
            task = Shared(self, one.stages, line, Singleton.get_state())
            (job,) = _submitted(partial(_submit_one, executor, task))
            ids.append(job.job_id)
            log.info("job %s computes %d stages that %d cells share", job.job_id, len(one.stages), len(one.cells))
        jobs: dict[int, Any] = {}
        before = list(ids)
        for places, positions in after(shared, len(due)).items():
            for first in range(0, len(positions), self._chunk):
                chunk = [numbers[position] for position in positions[first : first + self._chunk]]
                columns = zip(*(self._arguments(number, due[number]) for number in chunk), strict=True)
                executor = self._executor([before[place] for place in places])
                found = _submitted(partial(executor.map_array, self, *columns))
                jobs |= dict(zip(chunk, found, strict=True))
                ids += dict.fromkeys(job.job_id.partition("_")[0] for job in found)
        return jobs

    def _executor(self, dependencies: Sequence[str], suffix: str = "") -> Any:
        """Return what submits jobs that begin after others have ended well.

        Raises:
            UserError: submitit does not know a parameter.
        """
        import submitit

        params = dict(self.params)
        executor = submitit.AutoExecutor(
            cluster="slurm", folder=params["submitit_folder"], slurm_max_num_timeout=params["max_num_timeout"]
        )
        plain = set(OmegaConf.structured(BaseQueueConf).keys())
        params["name"] = f"{params['name']}{suffix}"
        if dependencies:
            params["dependency"] = f"afterok:{':'.join(dependencies)}"
            # Because a job whose ancestor has failed would otherwise stay in the queue for ever
            extra = {"kill-on-invalid-dep": "yes", **(params.get("additional_parameters") or {})}
            params["additional_parameters"] = extra
        named = {key if key in plain else f"slurm_{key}": value for key, value in params.items() if key not in INIT}
        try:
            executor.update_parameters(**named)
        except (NameError, ValueError, TypeError) as error:
            raise UserError(f"hydra.launcher: {' '.join(str(error).split())[:300]}; leave it out") from error
        return executor

    def _arguments(self, number: int, line: Sequence[str]) -> tuple[Any, ...]:
        """Return the arguments of the call that runs a cell; see the plug-in's `__call__`."""
        return list(line), "hydra.sweep.dir", number, f"job_id_for_{number}", Singleton.get_state()

    def prepared(self, line: Sequence[str], **values: Any) -> Experiment:
        """Return a cell, built and checked.

        Args:
            line: its overrides.
            values: entries of the configuration that are replaced.

        Raises:
            UserError, HydraException, OmegaConfBaseException: the cell is refused.
        """
        return prepared(self.hydra_context, self.config, line, **values)

    def _missing(self, line: Sequence[str]) -> list[Place]:
        """Return the stages that a cell needs and the store does not hold; none of a cell that is refused.

        A login node may have no GPU. The keys of stages do not depend on the device.
        """
        try:
            return missing_stages(self.prepared(line, device="cpu"))
        except (UserError, HydraException, OmegaConfBaseException):
            return []  # because the cell itself says why, and no other has to fail with it

    def _wait(self, jobs: Mapping[int, Any]) -> None:
        """Wait until every job has left its result, or is no longer in the queue."""
        missed = dict.fromkeys(jobs, 0)
        told: set[str] = set()
        look = time.monotonic() + self._poll_s
        while missed:
            for number in [number for number in missed if jobs[number].paths.result_pickle.exists()]:
                del missed[number]
            if missed and time.monotonic() >= look:
                present = _queued([jobs[number].job_id for number in missed])
                for number in list(missed):
                    gone = present is not None and jobs[number].job_id not in present
                    missed[number] = missed[number] + 1 if gone else 0
                    if missed[number] == MISSED:
                        del missed[number]
                for reason in sorted(NEVER.intersection((present or {}).values()) - told):
                    told.add(reason)
                    log.warning(
                        "jobs cannot begin as they were asked for (%s, says squeue): scancel them, and ask for less",
                        reason,
                    )
                look = time.monotonic() + self._poll_s
            if missed:
                time.sleep(min(self._poll_s, 1 + len(missed) / 100))  # because each look is a question to the disk


def _submit_one(executor: Any, task: Shared) -> list[Any]:
    return [executor.submit(task)]


def _submitted(submit: Callable[[], list[Any]]) -> list[Any]:
    """Return submitted jobs.

    Raises:
        UserError: sbatch refuses them, or reaches no controller.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        return submit()
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        said = " ".join(str(getattr(error, "stderr", "") or error).split())
        if any(words in said.lower() for words in UNREACHABLE):
            raise UserError(
                f"the controller of the cluster cannot be reached ({said}), whatever is asked for: see with scontrol "
                "ping whether it answers on this node, and give the same command again then"
            ) from error
        raise UserError(
            f"sbatch refuses a job ({said}); correct what hydra.launcher or COLLAPSE_LAB_PARTITION, _ACCOUNT, _GPUS, "
            "_CPUS, _MEMORY_GB and _MINUTES ask for (sinfo lists the partitions)"
        ) from error


def _queued(jobs: Sequence[str]) -> dict[str, str] | None:
    """Return the jobs that the cluster still has, each with what it waits for; None where the cluster says nothing."""
    arrays = ",".join(dict.fromkeys(job.partition("_")[0] for job in jobs))
    command = ["squeue", "--noheader", "--array", "--format=%i %r", f"--jobs={arrays}"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if listed.returncode and "Invalid job id" not in listed.stderr:
        return None
    return {number: reason for number, _, reason in (line.partition(" ") for line in listed.stdout.splitlines())}


def _result(cell: sweep.Cell, job: Any) -> JobReturn:
    """Return how a cell ended, by what its job left; a cell without a job has ended in an earlier launch."""
    from submitit.core.utils import UncompletedJobError

    if job is None:
        ended = Outcome.read(cell.file)
        return end_of(cell, None if ended.status in GOOD else UserError(ended.reason))
    reason = (
        f"its job {job.job_id} ended without a result: it was cancelled or killed, its node failed, or a job {SHARED}"
    )
    if job.paths.result_pickle.exists():
        failure = job.exception()
        if failure is None:
            result: JobReturn = job.results()[0]
            return result
        reason = f"its job {job.job_id} failed: {str(failure).splitlines()[-1]}"
    if not cell.file.exists() or Outcome.read(cell.file).status == "interrupted":
        cell.lose(f"{reason}; logs are in {job.paths.folder}")
    return end_of(cell, UncompletedJobError(reason))
