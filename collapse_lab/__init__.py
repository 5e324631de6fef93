"""A laboratory for model collapse: what becomes of generative models trained on data that generative models made.

>>> from collapse_lab import compose, prepare
>>> compose("+experiment=nepotistic", "ratio=0.1").root.ratio
0.1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collapse_lab.config.composing import Composed, compose
    from collapse_lab.experiment import Experiment, Plan, Result, prepare

__version__ = "0.1.0"
__all__ = ["Composed", "Experiment", "Plan", "Result", "__version__", "compose", "prepare"]

_COMPOSING = ("Composed", "compose")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because torch and Hydra take seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = "collapse_lab.config.composing" if name in _COMPOSING else "collapse_lab.experiment"
    return getattr(importlib.import_module(module), name)
