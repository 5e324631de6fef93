"""What a run leaves: lines of its ledger, and what a sink is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass
class Record:
    """Hold one line of the ledger. Field names are a public format (docs/architecture.md, "The ledger").

    Attributes:
        generation: 0 or more.
        model: the name of a member of the population.
        counts: rows trained on, by `real` and `synthetic`; where there are several sources of a kind also by
            `private` and `public`, and by `from_NAME` for each model.
        metrics: name -> number.
        seconds: by `fit`, `sample` and `measure`.
        status: how the generation ended.
        keys: keys of the stages behind the line.
        features: feature space -> the fingerprint of its numbers.
    """

    generation: int
    model: str
    counts: dict[str, int]
    metrics: dict[str, float]
    seconds: dict[str, float]
    status: Literal["ok", "diverged"]
    keys: dict[str, Any]
    features: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RunInfo:
    """Hold what a sink is told of a run when it opens."""

    name: str
    signature: str
    folder: Path
    config: Mapping[str, Any]
