"""The signature of a run: a hash of what can change its result, equal on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.binding import bind, import_target
from collapse_lab.config.identity import identify
from collapse_lab.config.schema import Root
from collapse_lab.engine.keys import digest
from collapse_lab.errors import UserError
from collapse_lab.sizes import SCHEDULE

MASKED = "<device>"
UNRECORDED = ("objective", "processes")  # what a sweeper is told, and who computes: no part of a run's config.yaml
LEFT_OUT = ("device", "dry_run", *UNRECORDED)  # what cannot change a result
NODES = ("dataset", "trainer", "mixing", "population", "curation")
NAMED_NODES = ("features", "metrics", "probes")
SPEC = frozenset({"spec"})  # what the data set supplies to models and feature extractors


def canonical(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration with every path and device masked, equal for equal runs on any machine."""
    masked = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    assert isinstance(masked, DictConfig)
    for name in masked.paths:
        masked.paths[name] = f"<{name}>"
    masked.device = MASKED
    for name in UNRECORDED:
        masked.pop(name, None)
    for name in ("pack", "checkpoint_minutes"):  # because programs that cells share, and checkpoints, change no result
        masked.get("trainer", {}).pop(name, None)
    return resolved(masked)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain dictionaries and lists, interpolations resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def signature(cfg: DictConfig) -> str:
    """Return 12 hex digits of SHA-256 over what can change a result (`run_identity`)."""
    return signature_of(canonical(cfg))


def signature_of(plain: Mapping[str, Any]) -> str:
    """Return the signature of a configuration as `canonical` gives it."""
    return digest(run_identity(plain), 12)


def run_identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's result depends on: the root and every node, less what equals its default.

    Args:
        plain: a configuration as `canonical` gives it.

    Raises:
        UserError: a node that cannot be bound to its constructor.
    """
    scalars = {f.name: plain[f.name] for f in fields(Root) if f.name in plain and f.name not in LEFT_OUT}
    models, _ = bind_model(plain["model"], "model")
    parts: dict[str, Any] = {
        "root": identify(Root, scalars),
        "model": models[0] if len(models) == 1 else models,
        "prompts": _prompts(plain["prompts"]),
    }
    parts |= {name: bind(plain[name], name) for name in NODES}
    for group in NAMED_NODES:
        parts[group] = {name: bind(node, f"{group}.{name}", SPEC) for name, node in plain[group].items()}
    return parts


def at_defaults(plain: Mapping[str, Any]) -> set[str]:
    """Return the dotted names of the arguments that equal their defaults: a run without them is the same run.

    Args:
        plain: a configuration as `canonical` gives it.

    Raises:
        UserError: a node that cannot be bound to its constructor.
    """
    parts = run_identity(plain)
    model = parts["model"][0] if isinstance(parts["model"], list) else parts["model"]
    places = {name: (plain[name], parts[name]) for name in NODES} | {"model": (plain["model"], model)}
    for group in NAMED_NODES:
        places |= {f"{group}.{name}": (node, parts[group][name]) for name, node in plain[group].items()}
    return {name for place, (node, identity) in places.items() for name in _at_defaults(node, identity, place)}


def _at_defaults(node: Mapping[str, Any], identity: Mapping[str, Any], place: str) -> Iterator[str]:
    arguments = identity["arguments"]
    for key, value in node.items():
        if key not in arguments and key != "_target_":
            yield f"{place}.{key}"
        elif isinstance(value, Mapping) and "_target_" in value:
            yield from _at_defaults(value, arguments[key], f"{place}.{key}")


def bind_model(node: Mapping[str, Any], where: str) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Return the identities of a model, one a generation, and its schedules: argument -> a value per generation.

    The last entry of either holds on. A model without schedules has one identity.

    Raises:
        UserError: a schedule of an argument that acts in training, an empty schedule, or an argument that
            `binding.bind` refuses.
    """
    schedules = {key: list(value[SCHEDULE]) for key, value in node.items() if is_schedule(value)}
    if schedules:
        sampling_only = getattr(import_target(str(node["_target_"]), where), "sampling_only", frozenset[str]())
        for key, values in schedules.items():
            if key not in sampling_only or not values:
                raise UserError(
                    f"{where}.{key}.{SCHEDULE} is a list of values, one per generation, of what acts after training: "
                    f"{', '.join(sorted(sampling_only))}; got {key}={values}"
                )
    numbers = range(max(map(len, schedules.values()), default=1))
    return [bind({**node, **at_generation(schedules, number)}, where, SPEC) for number in numbers], schedules


def at_generation(schedules: Mapping[str, list[Any]], generation: int) -> dict[str, Any]:
    """Return the scheduled arguments of one generation; the last value of a list holds on."""
    return {name: values[min(generation, len(values) - 1)] for name, values in schedules.items()}


def is_schedule(value: Any) -> bool:
    """Return whether a value has the form of a schedule over generations, with any content."""
    return isinstance(value, Mapping) and set(value) == {SCHEDULE}


def _prompts(node: Mapping[str, Any]) -> dict[str, Any]:
    sets = {name: bind(prompts, f"prompts.sets.{name}") for name, prompts in node["sets"].items()}
    return {"sets": sets, **{key: value for key, value in node.items() if key != "sets" and value is not None}}
