"""The number that a cell returns to a sweeper: a metric of its last generation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.types import Record


def objective_of(records: Sequence[Record], name: str) -> float:
    """Return a metric of the last generation, the mean over the models of a population.

    Args:
        records: the ledger of a complete run.
        name: the name of the metric in the ledger, such as `seen/classifier/fid`.

    Returns:
        The metric; NaN where the run diverged, so that a sweeper counts the cell as one that failed.

    Raises:
        UserError: no model of the last generation has a metric of this name.
    """
    if any(record.status == "diverged" for record in records):
        return math.nan
    last = max((record.generation for record in records), default=0)
    metrics = [record.metrics for record in records if record.generation == last]
    values = [own[name] for own in metrics if name in own]
    if not values:
        known = sorted({key for own in metrics for key in own})
        raise UserError(f"objective={name} is no metric of the run's last generation; {did_you_mean(name, known)}")
    return sum(values) / len(values)
