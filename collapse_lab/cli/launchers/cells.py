"""A cell of a sweep, built in the process that launches it, before any job or worker has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from collapse_lab.cli.launchers.waves import Place

if TYPE_CHECKING:
    from collapse_lab.experiment import Experiment


def prepared(context: HydraContext, config: DictConfig, line: Sequence[str], **values: Any) -> Experiment:
    """Return a cell, built and checked.

    Args:
        context: Hydra's, whose loader composes the cell.
        config: the configuration of the sweep.
        line: the overrides of the cell.
        values: entries of the configuration that are replaced.

    Raises:
        UserError, HydraException, OmegaConfBaseException: the cell is refused.
    """
    from collapse_lab.config.composing import checked, take_choices
    from collapse_lab.experiment import prepare

    cfg = context.config_loader.load_sweep_config(config, list(line))
    overrides = list(cfg.hydra.overrides.task)
    choices = take_choices(cfg)
    with open_dict(cfg):
        cfg.update(values)
    return prepare(checked(cfg, overrides, choices))


def missing_stages(experiment: Experiment) -> list[Place]:
    """Return the stages that a cell needs and the store does not hold, in the order of their computing."""
    return [(stage.kind, stage.key) for stage in experiment.layout.stages if stage.persist and not stage.ready]
