"""Objects of a configuration that a ledger was made with, for what follows from them without any fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def built(kind: type[Kind], node: Mapping[str, Any]) -> Kind:
    """Return the object of a node of a configuration.

    Args:
        kind: The class that the node has to name.
        node: The node, with its class as `_target_`.

    Raises:
        KeyError: The node names no class.
        TypeError: The node names another class, or arguments that the class does not have.
        UserError: The class refuses the arguments.
    """
    if node["_target_"] != f"{kind.__module__}.{kind.__qualname__}":
        raise TypeError(f"{node['_target_']} is not {kind.__qualname__}")
    return kind(**{name: value for name, value in node.items() if name != "_target_"})
