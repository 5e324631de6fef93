"""`hydra/launcher=local`: cells side by side on one machine, each worker on a GPU that it has leased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

from collapse_lab.cli import sweep
from collapse_lab.cli.leases import chosen_gpus, gpus_here, lease_folder, workers_of
from collapse_lab.cli.workers import start_worker
from collapse_lab.config.binding import check_type
from collapse_lab.types import Count


class LocalLauncher(JoblibLauncher):  # type: ignore[misc]
    """Launch the cells of a sweep in worker processes of this machine.

    joblib divides the cores among the workers: each gets so many threads, unless OMP_NUM_THREADS says otherwise.

    Args:
        n_jobs: how many cells at a time; `auto` is as many as the GPUs have places, and 2 without a GPU.
        gpus: `auto` for all (none where the cells compute on the CPU), how many, or a list of their names; 0 leaves the
            choice of a GPU to the cells.
        cells_per_gpu: how many cells share a GPU.
        joblib: further arguments of joblib.Parallel.
    """

    def __init__(
        self, n_jobs: int | Literal["auto"] = "auto", gpus: Any = "auto", cells_per_gpu: Count = 1, **joblib: Any
    ) -> None:
        super().__init__(**joblib)
        self._jobs, self._gpus, self._cells_per_gpu = n_jobs, gpus, cells_per_gpu

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run cells, and return how each of them ended.

        Raises:
            UserError: more GPUs are asked for than there are, or a number is no number of processes.
        """
        check_type("hydra.launcher.cells_per_gpu", self._cells_per_gpu, Count)
        without = self._gpus == "auto" and self.config.device == "cpu"
        gpus = [] if without else chosen_gpus(self._gpus, gpus_here())
        places = len(gpus) * self._cells_per_gpu
        self.joblib["n_jobs"] = workers_of(self._jobs, len(job_overrides), places)
        self.joblib["initializer"] = partial(start_worker, gpus, self._cells_per_gpu, lease_folder())
        sweep.queue(Path(str(self.config.hydra.sweep.dir)), initial_job_idx, job_overrides)
        return super().launch(job_overrides, initial_job_idx)  # type: ignore[no-any-return]
