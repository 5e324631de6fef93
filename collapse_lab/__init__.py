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
    from collapse_lab.results.compared import compare
    from collapse_lab.results.frames import frame
    from collapse_lab.results.means import means
    from collapse_lab.sharing.opened import open_run as open

__version__ = "0.1.0"
__all__ = [
    "Composed",
    "Experiment",
    "Plan",
    "Result",
    "__version__",
    "compare",
    "compose",
    "frame",
    "means",
    "open",
    "prepare",
]

_PLACES = {  # of the names that are not in collapse_lab.experiment: the module, and the name there
    "Composed": ("collapse_lab.config.composing", "Composed"),
    "compare": ("collapse_lab.results.compared", "compare"),
    "compose": ("collapse_lab.config.composing", "compose"),
    "frame": ("collapse_lab.results.frames", "frame"),
    "means": ("collapse_lab.results.means", "means"),
    "open": ("collapse_lab.sharing.opened", "open_run"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because torch and Hydra take seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, there = _PLACES.get(name, ("collapse_lab.experiment", name))
    return getattr(importlib.import_module(module), there)
