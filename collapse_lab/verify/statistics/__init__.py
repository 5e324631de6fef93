"""The statistics that a claim may name: every public function of the modules in this folder, under its own name.

A statistic takes the runs of each group that the claim names, and the claim's arguments, and returns a `Measured`. Its
signature is the schema of the arguments: a parameter of type `GroupName` is the name of one of the claim's groups, and
one of type `MetricName` is a name of the ledger.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from collapse_lab.results.run import Run
from collapse_lab.verify.measured import Measured

Groups = Mapping[str, tuple[Run, ...]]  # the runs of each group, which differ in nothing but their seed


class GroupName(str):
    """Name one of the claim's groups."""

    __slots__ = ()


class MetricName(str):
    """Name a number of the ledger: `<subset>/<features>/<metric>` or `<subset>/<probe>`."""

    __slots__ = ()


@cache
def known() -> dict[str, Callable[..., Measured]]:
    """Return every statistic by its name."""
    statistics: dict[str, Callable[..., Measured]] = {}
    for entry in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{entry.name}")
        statistics |= {
            name: function
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if function.__module__ == module.__name__ and not name.startswith("_")
        }
    return statistics
