"""Checks of a composed configuration that need no model and no data, and the identity of a run."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.sizes import Given, first_size, read_sizes

SHORTCUTS = ("seed", "generations", "ratio", "n_train", "n_samples", "device")
DEVICES = ("auto", "cpu", "cuda")
# Read by the engine itself, so that they need no leaf to refer to them
ENGINE = ("seed", "generations", "n_train", "n_samples", "device")
# What cannot change a result is no part of a run's identity
VOLATILE = ("paths", "sinks", "store", "device", "dry_run")


# Registered on import, so that the workers of a launcher have them too
OmegaConf.register_new_resolver("half", lambda n: n // 2, replace=True)  # for a schedule that turns halfway
OmegaConf.register_new_resolver("first", first_size, replace=True)  # of the sizes of generations: the real rows


@dataclass(frozen=True)
class Root:
    """The typed root of the configuration.

    n_train, n_samples: as `sizes.read_sizes` takes them. Entry g of either belongs to the training set of generation
        g, whose rows generation g - 1 samples.

    Raises:
        UserError: a value of another type, or out of range.
    """

    name: str
    seed: int
    generations: int
    ratio: float
    n_train: Given
    n_samples: Given
    device: str
    dry_run: bool

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(Root)
        for field in fields(self):
            check_type(field.name, getattr(self, field.name), hints[field.name])
        for name in ("seed", "generations"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is 0 or more; got {getattr(self, name)}")
        read_sizes("n_train", self.n_train, self.generations)
        read_sizes("n_samples", self.n_samples, self.generations, least=2)
        if not 0 <= self.ratio <= 1:
            raise UserError(
                f"ratio is the synthetic share of a training set, between 0 and 1; got {self.ratio}"
                + (f" (did you mean {self.ratio / 100:g}?)" if 1 < self.ratio <= 100 else "")
            )
        if self.device not in DEVICES:
            raise UserError(f"device is auto, cpu or cuda; got '{self.device}': {did_you_mean(self.device, DEVICES)}")


def read_root(cfg: DictConfig) -> Root:
    """The checked root of a composed configuration."""
    values = {field.name: cfg[field.name] for field in fields(Root)}
    plain = {name: OmegaConf.to_container(v) if isinstance(v, DictConfig) else v for name, v in values.items()}
    return Root(**plain)  # type: ignore[arg-type]


def check_shortcuts(cfg: DictConfig, overridden: list[str]) -> None:
    """Refuses an overridden shortcut that nothing reads: a sweep over it would buy identical jobs."""
    text = json.dumps(OmegaConf.to_container(cfg, resolve=False))
    for override in overridden:
        key = override.split("=")[0].lstrip("+~")
        if key in SHORTCUTS and key not in ENGINE and "${" + key + "}" not in text:
            mixing = str(cfg.get("mixing", {}).get("_target_", "")).rsplit(".", 1)[-1]
            raise UserError(
                f"{key} was given, and nothing in this configuration reads it (mixing is {mixing}); leave it out, or "
                "choose a mixing policy that has a share, such as mixing=contaminate"
            )


def canonical(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration with every path and device masked, equal for equal runs on any machine."""
    masked = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    assert isinstance(masked, DictConfig)
    for name in masked.paths:
        masked.paths[name] = f"<{name}>"
    masked.device = "<device>"
    masked.get("trainer", {}).pop("pack", None)  # how many cells share a program is no more part of a run than where
    return resolved(masked)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain dictionaries and lists."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def signature(cfg: DictConfig) -> str:
    """12 hex digits of SHA-256 over what can change a result."""
    kept = {key: value for key, value in canonical(cfg).items() if key not in VOLATILE}
    return hashlib.sha256(json.dumps(_whole(kept), sort_keys=True).encode()).hexdigest()[:12]


def _whole(value: Any) -> Any:
    """The value with 1.0 written as 1, as one may on a command line."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def bind(node: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The identity of a `_target_` node: class, version, and every argument with its default filled in.

    The constructor is the schema. Nested nodes are bound too.

    Raises:
        UserError: no such class, an argument that it does not have, one that is missing, or one of another type.
    """
    target = import_target(str(node["_target_"]), where)
    given = {key: value for key, value in node.items() if not str(key).startswith("_")}
    partial = bool(node.get("_partial_", False))
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in given:
        if key not in parameters and not takes_any:
            raise UserError(f"{where}.{key}: {target.__name__} has no such argument; {did_you_mean(key, parameters)}")
    missing = [
        n for n, p in parameters.items() if p.default is p.empty and n not in given and p.kind is not p.VAR_KEYWORD
    ]
    if missing and not partial:
        raise UserError(f"{where}: {target.__name__} needs {', '.join(missing)}")
    hints = _hints(target)
    arguments: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in given:
            hint = hints.get(name, Any)
            check_type(f"{where}.{name}", given[name], hint)
            value = float(given[name]) if _means_float(given[name], hint) else given[name]
            arguments[name] = _identity(value, f"{where}.{name}")
        elif parameter.default is not parameter.empty:
            arguments[name] = _identity(parameter.default, f"{where}.{name}")
    # What a `**kwargs` takes is part of the identity too
    arguments |= {name: _identity(given[name], f"{where}.{name}") for name in given if name not in parameters}
    version = getattr(target, "version", None)
    return {
        "class": f"{target.__module__}.{target.__qualname__}",
        "version": version if isinstance(version, int) else 0,
        "arguments": arguments,
    }


def check_type(where: str, value: Any, hint: Any) -> None:
    """Refuses a scalar of another type than the annotation's; what is no scalar is left to the constructor."""
    if isinstance(value, Mapping) and "_target_" in value:
        return
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    scalars = [option for option in options if option in (int, float, str, bool, type(None))]
    if len(scalars) != len(options):
        return
    fits = any(_fits(value, option) for option in scalars)
    if not fits:
        wanted = " or ".join("null" if option is type(None) else option.__name__ for option in scalars)
        raise UserError(f"{where} takes {wanted}; got {value!r}")


def _means_float(value: Any, hint: Any) -> bool:
    """Whether a whole number stands where a float is meant: guidance_scale=2 is guidance_scale=2.0."""
    options = typing.get_args(hint) or (hint,)
    return isinstance(value, int) and not isinstance(value, bool) and float in options and int not in options


def _fits(value: Any, option: type) -> bool:
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, option)


def _identity(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return bind(value, where)
        return {str(key): _identity(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_identity(item, f"{where}.{index}") for index, item in enumerate(value)]
    return value


def import_target(path: str, where: str) -> Any:
    """The class that a `_target_` names."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{where}._target_ '{path}' cannot be imported: {error}") from error


def _hints(target: Any) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # names that exist for the type checker alone
        return {}
