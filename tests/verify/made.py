"""Run folders of real configurations with numbers that a test chooses, and claims about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical
from collapse_lab.storage.formats import FORMAT, MARK
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record

FID = "seen/classifier/fid"
PRINT: dict[str, Any] = {"extractor": "cnn", "weights": "1f2e3d4c5b6a7988", "seen": {"n": 600}}


@cache
def composed(*line: str) -> dict[str, Any]:
    return canonical(compose(*line).cfg)


def write(
    root: Path,
    line: Sequence[str],
    seed: int,
    values: Sequence[float],
    metric: str = FID,
    floor: float | None = None,
    prints: Mapping[str, Any] = PRINT,
) -> Path:
    """Write a run of the configuration that `line` composes to, with these values of its metric by generation."""
    config = {**composed(*line), "seed": seed}
    folder = root / "-".join([*(override.replace("/", "_") for override in line), f"s{seed}"])
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({MARK: FORMAT, **config}, sort_keys=False))
    ledger = Ledger(folder / "ledger.jsonl")
    for generation, value in enumerate(values):
        metrics = {metric: value} | ({} if floor is None else {f"{metric}_floor": floor})
        ledger.append(Record(generation, "model", {}, metrics, {}, "ok", {}, {"classifier": dict(prints)}))
    return folder


def sweep(root: Path, ends: Mapping[float, Sequence[float]], *more: str, **options: Any) -> Path:
    """Write runs of `nepotistic` by ratio: FID is 1 in generation 0, and in generation 1 it is one of `ends` a seed."""
    for ratio, row in ends.items():
        for seed, end in enumerate(row):
            write(root, ["+experiment=nepotistic", f"ratio={ratio:g}", *more], seed, [1.0, end], **options)
    return root


def claim(**changes: Any) -> dict[str, Any]:
    """Return a claim as a file has it: FID at ratio 1 is at least 1.5 times that of the control."""
    return {
        "id": "rises",
        "claim": "FID rises.",
        "source": "a test",
        "known_from": "derived here",
        "experiment": "nepotistic",
        "groups": {"dosed": {"ratio": 1}, "control": {"ratio": 0}},
        "statistic": "ratio",
        "arguments": {"metric": FID, "group": "dosed", "control": "control", "generation": 1},
        "needed": {"at_least": 1.5},
        "size": "ours",
    } | changes


def claims_file(path: Path, *claims: Mapping[str, Any], **changes: Any) -> Path:
    """Write a file of claims."""
    content = {"title": "A test", "seeds": [0, 1, 2], "claims": list(claims)} | changes
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
