"""The statistics that a claim may name: every public function of the modules here, under its own name.

A statistic takes the runs of each cell that the claim names, and the claim's arguments, and gives a `Measured`. Its
signature is the schema of the arguments: a parameter of type `CellName` is one of the claim's cells, one of type
`MetricName` a name of the ledger.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from collapse_lab.results.collect import Run
from collapse_lab.verify.measured import Measured

Cells = Mapping[str, tuple[Run, ...]]


class CellName(str):
    """The name of a cell of the claim."""

    __slots__ = ()


class MetricName(str):
    """`<subset>/<features>/<metric>` or `<subset>/<probe>`."""

    __slots__ = ()


@cache
def known() -> dict[str, Callable[..., Measured]]:
    """Every statistic by its name."""
    found: dict[str, Callable[..., Measured]] = {}
    for module in pkgutil.iter_modules(__path__):
        part = importlib.import_module(f"{__name__}.{module.name}")
        found |= {
            name: function
            for name, function in inspect.getmembers(part, inspect.isfunction)
            if function.__module__ == part.__name__ and not name.startswith("_")
        }
    return found
