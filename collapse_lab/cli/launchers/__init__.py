"""Launchers of sweeps, which Hydra takes for plug-ins of its own."""

from __future__ import annotations

from hydra.core.plugins import Plugins

PACKAGE = "hydra_plugins.collapse_lab"  # because Hydra takes a launcher from this package alone; there is no such one


def register() -> None:
    """Make Hydra find the launchers that conf/hydra/launcher names; to call it again changes nothing."""
    from collapse_lab.cli.launchers.local import LocalLauncher

    Plugins.instance().class_name_to_class[f"{PACKAGE}.LocalLauncher"] = LocalLauncher
