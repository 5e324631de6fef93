"""What a model's numbers are called in a mirror, where all models of a run share one set of charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prefix(model: str, config: Mapping[str, Any]) -> str:
    """Return what the names of a model's numbers begin with: its own name, and nothing in a run of one model.

    Args:
        model: The name of the model.
        config: The configuration of the run.
    """
    members = (config.get("population") or {}).get("members") or {}
    return f"{model}/" if len(members) > 1 else ""
