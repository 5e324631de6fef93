"""What a run and its parts are identified by: a class, its version, and what differs from the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from collapse_lab.engine.keys import whole_numbers


def identify(target: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"class", "version", "arguments"} of a call, less the arguments that equal their defaults.

    A key that is hashed over this survives a new argument with a default. A default that changes needs a raised
    `version`, because the argument was left out of the keys of earlier versions (`tests/config/test_defaults.py`
    compares all defaults with a committed snapshot).

    Arguments that a class names in `unsigned` are left out too, because they change no result. Where that depends on
    the other arguments, the class names them by its method `unsigned_of(arguments)`.

    Args:
        target: a class with an integer `version` (0 where it has none), or a function.
        arguments: plain values, and identities in the place of nested nodes.
    """
    defaults = defaults_of(target)
    unsigned = unsigned_in(target, arguments)
    changed = {
        name: value
        for name, value in arguments.items()
        if name not in unsigned and (name not in defaults or _equal_key(value) != _equal_key(defaults[name]))
    }
    version = getattr(target, "version", 0)
    return {
        "class": f"{target.__module__}.{target.__qualname__}",
        "version": version if isinstance(version, int) else 0,
        "arguments": {name: whole_numbers(value) for name, value in sorted(changed.items())},
    }


def unsigned_in(target: Any, arguments: Mapping[str, Any]) -> frozenset[str]:
    """Return the arguments of a call that are left out of its identity whatever they are, because of its class.

    Args:
        target: a class or a function.
        arguments: the arguments of the call, as `identify` takes them.
    """
    unsigned: frozenset[str] = getattr(target, "unsigned", frozenset())
    return unsigned | target.unsigned_of(arguments) if hasattr(target, "unsigned_of") else unsigned


def defaults_of(target: Any) -> dict[str, Any]:
    """Return the default of every argument that has one, as `identify` would describe it."""
    parameters = inspect.signature(target).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    if is_dataclass(target):  # because the signature of a dataclass does not show what a factory makes
        factories = {f.name: f.default_factory for f in fields(target) if f.default_factory is not MISSING}
        defaults |= {name: factory() for name, factory in factories.items() if name in defaults}
    return {name: _described(value) for name, value in defaults.items()}


def _described(value: Any) -> Any:
    """Return a default value in the form in which a bound node has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return identify(type(value), {f.name: _described(getattr(value, f.name)) for f in fields(value) if f.init})
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    return value


def _equal_key(value: Any) -> Any:
    """Return a text that is equal for equal values, so that True is not 1 and a list equals its tuple."""
    return repr(_sorted(whole_numbers(value)))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
