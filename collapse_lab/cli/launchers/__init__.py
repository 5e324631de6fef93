"""Launchers of sweeps and the sweeper, which Hydra takes for plug-ins of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from collapse_lab.errors import UserError

PACKAGE = "hydra_plugins.collapse_lab"  # because Hydra takes a launcher from this package alone; there is no such one
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class WithoutSubmitit(Launcher):
    """Stand for the launcher of a cluster where its extra is not installed."""

    def __init__(self, **params: Any) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Refuse the launch.

        Raises:
            UserError: always.
        """
        raise UserError("hydra/launcher=slurm needs submitit: pip install 'collapse-lab[slurm]'")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do nothing, because `setup` refuses the launch."""
        return []


def register() -> None:
    """Make Hydra find our sweeper and the launchers that conf/hydra/launcher names; a second call changes nothing."""
    from collapse_lab.cli.launchers.basic import ListingLauncher
    from collapse_lab.cli.launchers.dry import TARGET, DryLauncher
    from collapse_lab.cli.launchers.local import LocalLauncher
    from collapse_lab.cli.launchers.ray import RayLauncher
    from collapse_lab.cli.sweeper import AlikeSweeper

    classes = Plugins.instance().class_name_to_class
    classes[SWEEPER] = AlikeSweeper
    classes[BASIC] = ListingLauncher
    classes[TARGET] = DryLauncher
    classes[f"{PACKAGE}.LocalLauncher"] = LocalLauncher
    classes[f"{PACKAGE}.RayLauncher"] = RayLauncher
    if find_spec("hydra_plugins.hydra_submitit_launcher"):
        from collapse_lab.cli.launchers.slurm import SlurmLauncher

        classes[f"{PACKAGE}.SlurmLauncher"] = SlurmLauncher
    else:
        classes[f"{PACKAGE}.SlurmLauncher"] = WithoutSubmitit
