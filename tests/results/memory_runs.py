"""Runs in memory, with numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collapse_lab.results.run import Run
from collapse_lab.types import Record

PRINT: dict[str, Any] = {
    "extractor": "cnn",
    "weights": "1f2e3d4c5b6a7988",
    "dtype": "float32",
    "seen": {"n": 600},
    "unseen": {"n": 600},
}
METRIC = "seen/classifier/fid"


def run(
    values: Mapping[str, Sequence[float | None]],
    seed: int = 0,
    prints: Mapping[str, Any] | None = None,
    status: str = "ok",
    **settings: Any,
) -> Run:
    """Return a run whose metrics have the given values.

    Args:
        values: One value for each generation, by the metric's name; None is not measured.
        seed: The seed.
        prints: The fingerprints of all records; None takes those of a classifier.
        status: The status of the last generation.
        **settings: Further settings of the configuration.
    """
    last = max(len(row) for row in values.values()) - 1
    records = [
        Record(
            g,
            "model",
            {"real": 600, "synthetic": 0},
            {key: v for key, row in values.items() if g < len(row) and (v := row[g]) is not None},
            {"fit": 1.0},
            "diverged" if status == "diverged" and g == last else "ok",
            {},
            {"classifier": PRINT} if prints is None else dict(prints),
        )
        for g in range(last + 1)
    ]
    config = {"name": "nepotistic", "seed": seed, "generations": last, **settings}
    signature = "-".join(str(value) for value in (seed, *settings.values())) or "run"
    return Run(Path(f"/runs/nepotistic/{signature}"), config, tuple(records))


def chains(ends: Sequence[float], **settings: Any) -> list[Run]:
    """Return runs of seeds 0, 1, … whose FID goes from 1 to each of `ends` in one generation."""
    return [run({METRIC: [1.0, end]}, seed, **settings) for seed, end in enumerate(ends)]
