"""The typed root of the configuration, and checks of it that need no model and no data."""

from __future__ import annotations

import json
import typing
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from omegaconf import DictConfig, OmegaConf, open_dict

from collapse_lab.config.binding import check_type
from collapse_lab.errors import UserError
from collapse_lab.sizes import ConfiguredSizes, check_stages, first_size, read_sizes
from collapse_lab.types import Count, Whole

SHORTCUTS = ("seed", "generations", "ratio", "n_train", "n_samples", "device")
ENGINE = ("seed", "generations", "n_train", "n_samples", "device")  # read by the engine itself, so no node has to
SIZES = ("n_train", "n_samples")

# Registered on import, so that the workers of a launcher have the resolvers too
OmegaConf.register_new_resolver("half", lambda n: n // 2, replace=True)  # for a schedule that turns halfway
OmegaConf.register_new_resolver("first", first_size, replace=True)  # the first of the sizes of all generations


@dataclass(frozen=True)
class Root:
    """Hold the checked scalars at the root of the configuration.

    Their defaults are those of `conf/config.yaml`; a run's signature leaves out what equals them
    (`identity.identify`), so a changed default needs a raised `version`.

    Args:
        name: the experiment; runs lie in runs/<name>/<signature>/.
        seed: 0 or more.
        generations: retrainings after generation 0, 0 or more.
        ratio: the synthetic share of a training set, in [0, 1].
        n_train, n_samples: a number, or a schedule as `sizes.read_sizes` takes it. Entry g of either belongs to the
            training set of generation g, whose synthetic rows generation g - 1 samples.
        device: where models are fitted and sampled; `auto` takes a GPU if there is one.
        dry_run: whether the plan is printed and nothing is computed.
        objective: the metric of the last generation that a cell of a sweep returns to its sweeper.
        processes: how many processes of a command compute the members of a population side by side.

    Raises:
        UserError: a value of another type, or out of range; more generations than a plan has.
    """

    version: ClassVar[int] = 1

    name: str = "default"
    seed: Whole = 0
    generations: Whole = 5
    ratio: float = 0.1
    n_train: ConfiguredSizes = 600
    n_samples: ConfiguredSizes = 600
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dry_run: bool = False
    objective: str | None = None
    processes: Count = 1

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(Root, include_extras=True)
        for field in fields(self):
            if field.name not in SIZES:  # because `read_sizes` checks those, and names the schedules
                check_type(field.name, getattr(self, field.name), hints[field.name])
        check_stages(self.generations, each=2)  # because every generation has a fit and its samples
        read_sizes("n_train", self.n_train, self.generations)
        read_sizes("n_samples", self.n_samples, self.generations, least=2)
        if not 0 <= self.ratio <= 1:
            raise UserError(
                f"ratio is the synthetic share of a training set, between 0 and 1; got {self.ratio}"
                + (f" (did you mean {self.ratio / 100:g}?)" if 1 < self.ratio <= 100 else "")
            )


def read_root(cfg: DictConfig) -> Root:
    """Return the checked root of a composed configuration."""
    # Because a run's config.yaml leaves out what changes no result
    values = {field.name: cfg[field.name] for field in fields(Root) if field.name in cfg}
    plain = {name: OmegaConf.to_container(v) if isinstance(v, DictConfig) else v for name, v in values.items()}
    return Root(**plain)  # type: ignore[arg-type]


def check_shortcuts(cfg: DictConfig, overrides: list[str]) -> None:
    """Refuse an overridden shortcut that nothing reads, because a sweep over it would run identical jobs.

    Raises:
        UserError: such a shortcut is among the overrides.
    """
    unread = _unread(cfg)
    for override in overrides:
        key = override.split("=")[0].lstrip("+~")
        if key in unread:
            mixing = str(cfg.get("mixing", {}).get("_target_", "")).rsplit(".", 1)[-1]
            raise UserError(
                f"{key} was given, and nothing in this configuration reads it (mixing is {mixing}); leave it out, or "
                "choose a mixing policy that has a share, such as mixing=contaminate"
            )


def drop_unread(cfg: DictConfig) -> None:
    """Take out the shortcuts that nothing reads, because a table of results would show a setting that had no effect."""
    with open_dict(cfg):
        for key in _unread(cfg):
            cfg.pop(key, None)


def _unread(cfg: DictConfig) -> list[str]:
    """Return the shortcuts that neither the engine nor any node reads."""
    text = json.dumps(OmegaConf.to_container(cfg, resolve=False))
    return [key for key in SHORTCUTS if key not in ENGINE and "${" + key + "}" not in text]
