"""`hydra/launcher=ray`: cells as tasks of Ray, on GPUs and parts of GPUs of one machine or of a cluster.

Hydra's own plug-in for Ray (1.2.2) requires cloudpickle below 3, against 3.1 that submitit and joblib bring here, and
boto3. So this is the thinnest launcher on `ray.remote`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from collapse_lab.cli import sweep
from collapse_lab.cli.launchers.ends import end_of
from collapse_lab.config.binding import check_type
from collapse_lab.errors import UserError
from collapse_lab.types import NonNegative


class RayLauncher(Launcher):
    """Launch the cells of a sweep as tasks of Ray, which gives each its GPUs and waits where there are none left.

    Args:
        num_gpus: what a cell gets; 0.5 lets two cells share a GPU. null is one where there is any.
        num_cpus: how many cores a cell gets.
        max_retries: how often a cell is started again whose worker process was killed, or whose machine is gone.
        init: arguments of `ray.init`, such as `address`.
    """

    def __init__(
        self,
        num_gpus: NonNegative | None = None,
        num_cpus: NonNegative = 1,
        max_retries: int = 1,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        self._gpus, self._cpus, self._retries, self._init = num_gpus, num_cpus, max_retries, dict(init or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what a cell needs."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run cells, and return how each of them ended.

        Raises:
            UserError: Ray is not installed, or a cell asks for more than the whole cluster has.
        """
        check_type("hydra.launcher.num_gpus", self._gpus, NonNegative | None)
        check_type("hydra.launcher.num_cpus", self._cpus, NonNegative)
        try:
            import ray
        except ImportError as error:
            raise UserError("hydra/launcher=ray needs Ray: pip install ray") from error
        from hydra_plugins.hydra_joblib_launcher._core import execute_job

        ray.init(ignore_reinit_error=True, **self._init)
        present = ray.cluster_resources()
        gpus = self._gpus
        if gpus is None:
            gpus = min(1.0, present.get("GPU", 0.0)) if self._config.device != "cpu" else 0.0
        for name, asked, kind in (("num_gpus", gpus, "GPU"), ("num_cpus", self._cpus, "CPU")):
            if asked > present.get(kind, 0.0):
                raise UserError(
                    f"hydra.launcher.{name}={asked:g} asks for more than there are: Ray has {present.get(kind, 0.0):g} "
                    f"{kind}s; give less"
                )
        folder = Path(str(self._config.hydra.sweep.dir))
        sweep.queue(folder, initial_job_idx, job_overrides)
        remote = ray.remote(execute_job).options(num_gpus=gpus, num_cpus=self._cpus, max_retries=self._retries)
        state = Singleton.get_state()
        waiting = [
            remote.remote(number, list(line), self._context, self._config, self._task, state)
            for number, line in enumerate(job_overrides, start=initial_job_idx)
        ]
        ends: list[JobReturn] = []
        for number, (line, task) in enumerate(zip(job_overrides, waiting, strict=True), start=initial_job_idx):
            try:
                ends.append(ray.get(task))
            except ray.exceptions.RayError as error:
                cell = sweep.Cell(folder, number, tuple(filter_overrides(line)))
                ends.append(_lost(cell, f"its worker process was lost ({str(error).splitlines()[0]})"))
        return ends


def _lost(cell: sweep.Cell, reason: str) -> JobReturn:
    cell.lose(reason)
    return end_of(cell, UserError(f"a cell was lost: {reason}; the same command goes on from what is stored"))
