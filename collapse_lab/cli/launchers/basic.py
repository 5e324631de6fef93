"""Hydra's own launcher, one cell after another in this process, which says beforehand which cells there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

from collapse_lab.cli import sweep


class ListingLauncher(BasicLauncher):
    """Run cells one after another, after `collapse-lab status` can tell those that have not begun."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run cells, and return how each of them ended.

        Raises:
            UserError: the disk is full.
        """
        assert self.config is not None  # because Hydra calls `setup` first
        sweep.queue(Path(str(self.config.hydra.sweep.dir)), initial_job_idx, job_overrides)
        return super().launch(job_overrides, initial_job_idx)
