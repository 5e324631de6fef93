"""Run folders of real configurations with numbers that a test chooses, and small claims about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir

from collapse_lab.cli.app import CONF
from collapse_lab.config.schema import canonical
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record

FID = "seen/classifier/fid"
PRINT: dict[str, Any] = {"extractor": "cnn", "weights": "1f2e3d4c5b6a7988", "seen": {"n": 600}}


@cache
def composed(*line: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return canonical(compose("config", [*line]))


def write(
    root: Path,
    line: Sequence[str],
    seed: int,
    values: Sequence[float],
    metric: str = FID,
    floor: float | None = None,
    prints: Mapping[str, Any] = PRINT,
) -> Path:
    """A run of the configuration that `line` composes to, whose metric takes the values given."""
    config = {**composed(*line), "seed": seed}
    folder = root / "-".join([*(part.replace("/", "_") for part in line), f"s{seed}"])
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    ledger = Ledger(folder / "ledger.jsonl")
    for generation, value in enumerate(values):
        metrics = {metric: value} | ({} if floor is None else {f"{metric}_floor": floor})
        ledger.append(Record(generation, "model", {}, metrics, {}, "ok", {}, {"classifier": dict(prints)}))
    return folder


def sweep(root: Path, ends: Mapping[float, Sequence[float]], *more: str, **given: Any) -> Path:
    """Runs of `nepotistic` by ratio: FID 1 in generation 0, and the ends given in generation 1, one for each seed."""
    for ratio, row in ends.items():
        for seed, end in enumerate(row):
            write(root, ["+experiment=nepotistic", f"ratio={ratio:g}", *more], seed, [1.0, end], **given)
    return root


def claim(**changes: Any) -> dict[str, Any]:
    """A claim as it stands in a file: FID at ratio 1 is at least 1.5 times that of the control."""
    return {
        "id": "rises",
        "claim": "FID rises.",
        "source": "a test",
        "known_from": "derived here",
        "experiment": "nepotistic",
        "cells": {"dosed": {"ratio": 1}, "control": {"ratio": 0}},
        "statistic": "ratio",
        "arguments": {"metric": FID, "cell": "dosed", "control": "control", "generation": 1},
        "needed": {"at_least": 1.5},
        "size": "ours",
    } | changes


def claims_file(path: Path, *claims: Mapping[str, Any], **changes: Any) -> Path:
    """A file of claims."""
    given = {"title": "A test", "seeds": [0, 1, 2], "claims": list(claims)} | changes
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path
