"""Compare generated with real features; `catalogue` describes every number that comes out of it.

The metrics are called by their names with two sets of features, NumPy arrays or tensors, a row a sample:

>>> import numpy as np
>>> from collapse_lab.metrics import fid, prdc
>>> x = np.random.default_rng(0).normal(size=(50, 4))
>>> round(fid(x, x + 2), 6), prdc(x, x)["recall"]
(16.0, 1.0)

A name such as `fid` is also the module of the metric, so calling it calls the function that `FUNCTIONS` gives.
This file imports nothing heavy, because reports and results import `catalogue` and must not load torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

# Name -> the module of the metric, and its function there
FUNCTIONS = {
    "fid": ("fid", "frechet_distance"),
    "fd_infinity": ("fd_infinity", "fd_infinity"),
    "kid": ("kid", "kernel_distance"),
    "cmmd": ("cmmd", "cmmd"),
    "prdc": ("prdc", "prdc"),
    "vendi": ("vendi", "vendi_score"),
    "pairwise_distance": ("diversity", "pairwise_distance"),
    "memorisation": ("memorisation", "memorisation"),
    "mode_coverage": ("classes", "mode_coverage"),
    "class_entropy": ("classes", "class_entropy"),
    "similarity": ("similarity", "similarity"),
    "clip_score": ("clip_score", "clip_score"),
}
__all__ = list(FUNCTIONS)


class _Called(ModuleType):
    """Be a module that is called as the function of its metric."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the function of the metric returns; NumPy arrays are taken as tensors."""
        return _call(self.__name__.rpartition(".")[2], arguments, named)


class _Package(ModuleType):
    """Make the modules of metrics callable when they are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FUNCTIONS and type(value) is ModuleType:
            value.__class__ = _Called
        super().__setattr__(name, value)


def _call(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    import numpy as np
    import torch

    module, function = FUNCTIONS[name]

    def taken(value: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value

    given = {key: taken(value) for key, value in named.items()}
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)(*map(taken, arguments), **given)


def __getattr__(name: str) -> Any:
    """Import a metric when it is first used."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, function = FUNCTIONS[name]
    found = importlib.import_module(f"{__name__}.{module}")
    if module == name:
        return found

    def called(*arguments: Any, **named: Any) -> Any:
        return _call(name, arguments, named)

    called.__name__, called.__doc__ = name, getattr(found, function).__doc__
    return called


sys.modules[__name__].__class__ = _Package
