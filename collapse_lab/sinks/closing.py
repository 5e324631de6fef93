"""Quantities of a whole chain, which a sink shows beside the last values: the best ones and those of collapse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from collapse_lab.results.collapse_quantities import half_life, time_to_collapse
from collapse_lab.results.names import Name, base_names
from collapse_lab.types import Record

NEVER = -1.0  # stands for a time that did not come, because a summary is sorted by numbers


def closing_numbers(records: Sequence[Record]) -> dict[str, float]:
    """Return the quantities of one model's chain by their names.

    `best/NAME` is the best value of a metric that has a direction. `time_to_collapse/NAME` and `half_life/NAME` are
    those of `results.collapse_quantities`, of the key metrics; -1 where the chain was too short for them.

    Args:
        records: the ledger of one model, oldest line first.
    """
    names = base_names({key for record in records for key in record.metrics})
    return {key: value for name in names if name.better and not name.is_part for key, value in _of(name, records)}


def _of(name: Name, records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    measured = [record for record in records if name.key in record.metrics]
    x = np.asarray([record.generation for record in measured], float)
    y = np.asarray([record.metrics[name.key] for record in measured], float)
    yield f"best/{name.key}", float(y.max() if name.better == "higher" else y.min())
    if not name.is_key or len(x) < 2:
        return
    floors = [r.metrics[f"{name.key}_floor"] for r in measured if f"{name.key}_floor" in r.metrics]
    floor = float(np.mean(floors)) if floors else 0.0
    if floor > 0:
        time = time_to_collapse(x, y, floor, name.better)
        yield f"time_to_collapse/{name.key}", NEVER if time is None else time
    if name.better == "higher" and y[0] > 0:
        life = half_life(x, y)
        yield f"half_life/{name.key}", NEVER if life is None else life
