"""Formats of the folders of runs and sweeps, and how an older configuration is read as one of today."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 2  # of config.yaml, stage keys and signatures; a folder without the mark has format 1
CONFIG, ENVIRONMENT, STATUS = "config.yaml", "environment.json", "status.json"
SKIPPED = "skipped.txt"  # in a run's folder: the pictures that cannot be read, one a line; none where all could be
LOCK = ".lock"  # in a run's folder; its process holds it until it ends, however it ends
OLDER_ENVIRONMENT = "provenance.json"  # what format 1 called `environment.json`
MARK = "format"
CELLS = "cells"  # in a sweep's folder; what lies in it has the number of a cell for its name, and one of these ends
QUEUED, BEGUN, RUN, ENDED = ".queued", ".line", ".run", ".json"  # overrides before and after its begin; run; outcome
PER_OCTAVE = 8  # bins between a value and its double, in the histograms of `texts/`

# Where classes of format 1 are today
MOVED: dict[str, str] = {
    "collapse_lab.curation.chain.InOrder": "collapse_lab.curation.sequence.InOrder",
    "collapse_lab.lightning.Training": "collapse_lab.engine.fitting.Training",
    "collapse_lab.population.Population": "collapse_lab.engine.population.Population",
    "collapse_lab.store.Store": "collapse_lab.storage.store.Store",
    "collapse_lab.sweep.SweepStart": "collapse_lab.cli.sweep.SweepStart",
}
# Arguments of `model` in format 1 that are arguments of its optimisation today
OPTIMISATION = ("lr", "lr_schedule", "weight_decay", "warmup", "ema_decay")
# What a family of format 1 did that had no such argument: the VAE took Adam at a constant learning rate
WITHOUT_ARGUMENT = {"lr_schedule": "constant", "warmup": 0.0}


def format_of(folder: Path) -> int:
    """Return the format of a run folder, read from the first line of its config.yaml; 1 where it has no mark."""
    with (folder / CONFIG).open() as file:
        key, _, value = file.readline().partition(":")
    return int(value) if key == MARK and value.strip().isdigit() else 1


def upgraded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration in the shape of today's format, whichever format wrote it."""
    if config.get(MARK, 1) == FORMAT:
        return dict(config)
    moved: dict[str, Any] = _renamed(config)
    model = moved.get("model") or {}
    knobs = _taken(model)
    if knobs:
        node = {"_target_": "collapse_lab.nn.optimisation.Optimisation", **WITHOUT_ARGUMENT, **knobs}
        model["optimisation"] = node
        for changes in ((moved.get("population") or {}).get("members") or {}).values():
            own = _taken(changes or {})  # because a member without changes may be null
            if own:  # because a member replaces whole arguments of the model
                changes["optimisation"] = {**node, **own}
    return moved


def _taken(arguments: dict[str, Any]) -> dict[str, Any]:
    """Remove from the arguments of a model those of its optimisation, and return them."""
    return {name: arguments.pop(name) for name in OPTIMISATION if name in arguments}


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return MOVED.get(value, value) if isinstance(value, str) else value
