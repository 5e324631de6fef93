"""Check that an object satisfies the protocol of its group, and name every member that is missing."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from collapse_lab.errors import UserError


def check_protocol(plug: Any, protocol: type, where: str) -> None:
    """Refuse an object, or a class, that lacks members of a protocol.

    A property is looked up and not evaluated, because an extractor's fingerprint needs its fit.

    Args:
        plug: the object; or the class of an object that cannot be built yet, whose instance attributes are not asked.
        protocol: one of `collapse_lab.types`.
        where: the object's place in the configuration.

    Raises:
        UserError: members are missing, or a method of the protocol is no method of the object.
    """
    name = plug.__name__ if inspect.isclass(plug) else type(plug).__name__
    methods, attributes = members(protocol)
    missing = [method for method in methods if not _has(plug, method, callable_too=True)]
    missing += [attribute for attribute in attributes if not _has(plug, attribute, callable_too=False)]
    if missing:
        raise UserError(
            f"{where}: {name} does not satisfy the protocol {protocol.__name__} of collapse_lab.types: it has no "
            f"{', '.join(missing)}; add what is missing to the class"
        )


def members(protocol: type) -> tuple[list[str], list[str]]:
    """Return the names of the methods of a protocol, and of its attributes and properties."""
    methods: list[str] = []
    attributes: list[str] = []
    for base in reversed(protocol.__mro__):
        if base in (object, Protocol) or not getattr(base, "_is_protocol", False):
            continue
        for name, value in vars(base).items():
            is_dunder = name.startswith("_") and name != "__call__"
            if not is_dunder and inspect.isfunction(value):
                methods.append(name)
            elif not is_dunder and isinstance(value, property):
                attributes.append(name)
        attributes += [name for name in vars(base).get("__annotations__", {}) if not name.startswith("_")]
    return list(dict.fromkeys(methods)), list(dict.fromkeys(attributes))


def _has(plug: Any, name: str, callable_too: bool) -> bool:
    owner = plug if inspect.isclass(plug) else type(plug)
    missing = object()
    if inspect.isclass(plug):  # not `getattr_static`, because a class has the members of `type` too, such as `__call__`
        value = next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), missing)
    else:
        value = inspect.getattr_static(plug, name, missing)
    if value is missing:
        declared = {key for base in owner.__mro__ for key in vars(base).get("__annotations__", {})}
        return inspect.isclass(plug) and name in declared and not callable_too
    return not callable_too or callable(getattr(owner, name, None))
