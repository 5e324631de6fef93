"""Check the arguments of every node against the sources of the classes, before anything slow is imported.

Torch, Lightning and diffusers take seconds to import. What a source does not say is left to `binding.bind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.binding import NOTHING, check_arguments, check_type
from collapse_lab.config.nodes import MANY, SINGLE
from collapse_lab.config.parameters import Parameters, of_source
from collapse_lab.config.signature import SPEC, is_schedule
from collapse_lab.sizes import SCHEDULE

SUPPLIED = {"model": SPEC, "store": frozenset({"executor"})}


def check_nodes(cfg: DictConfig) -> None:
    """Refuse unknown, missing and wrong arguments of every node, as far as the sources of the classes tell.

    Args:
        cfg: a composed configuration whose nodes have the shapes of their groups.

    Raises:
        UserError: as `binding.bind`.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    # The model first, because data sets and probes take some of its arguments over
    for group in sorted(SINGLE, key=lambda group: group != "model"):
        _check(plain[group], group, SUPPLIED.get(group, NOTHING))
    for group, nodes in [*((group, plain[group]) for group in MANY), ("prompts.sets", plain["prompts"]["sets"])]:
        for name, node in nodes.items():
            _check(node, f"{group}.{name}", SPEC if group == "features" else NOTHING)
    members = plain["population"].get("members")
    for name, changes in members.items() if isinstance(members, Mapping) else ():
        if name != "model" and isinstance(changes, Mapping):
            changed: Any = OmegaConf.to_container(OmegaConf.merge(plain["model"], changes))
            _check(changed, f"population.members.{name}", SPEC)


def _check(node: Mapping[str, Any], where: str, supplied: frozenset[str] = NOTHING) -> None:
    parameters = of_source(str(node["_target_"]))
    schedules = {key: value[SCHEDULE] for key, value in node.items() if is_schedule(value)}
    # Because `bind_model` says what a schedule is, leave one without values to it
    if parameters is not None and all(isinstance(values, list) and values for values in schedules.values()):
        first = {key: values[0] for key, values in schedules.items()}
        check_arguments({**node, **first}, where, parameters, supplied)
        _check_schedules(schedules, where, parameters)
    for name, value in node.items():
        if (where, name) != ("population", "members"):  # because members are changes of the model
            _check_inside(value, f"{where}.{name}")


def _check_schedules(schedules: Mapping[str, Any], where: str, parameters: Parameters) -> None:
    for name, values in schedules.items():
        for value in values:
            check_type(f"{where}.{name}", value, parameters.hints.get(name, Any))


def _check_inside(value: Any, where: str) -> None:
    """Check the nodes inside an argument."""
    if isinstance(value, Mapping) and "_target_" in value:
        _check(value, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check_inside(item, f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_inside(item, f"{where}.{number}")
