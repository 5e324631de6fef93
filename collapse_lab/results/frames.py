"""Every number of some runs as one tidy table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse_lab.results.collect import Collection, collect, listed
from collapse_lab.results.names import Name, base_names
from collapse_lab.results.run import Run
from collapse_lab.results.settings import plain
from collapse_lab.types import Record

if TYPE_CHECKING:
    import pandas as pd

PLACE = ("experiment", "signature", "seed", "generation", "model", "status")
NUMBER = ("name", "subset", "features", "metric", "value", "lo", "hi", "floor", "theory")


def frame(paths: Sequence[Path | str] | Path | str) -> pd.DataFrame:
    """Return every number of every generation of some runs, a row each.

    The columns are `experiment`, `signature`, every setting in which the runs differ by its dotted name (such as
    `ratio` or `model._target_`; a list is written as text), `seed`, `generation`, `model` and `status`; then `name` (as
    the ledger has it) with its parts `subset`, `features` and `metric`; then `value`, the 95 % interval `lo` to `hi`,
    the `floor` of real against real, and what theory expects (`theory`). A number that is not known is NaN.
    The rows are in the order of the settings, then of the seeds, then of the generations. A setting that a run does
    not have is empty: `ratio`, where the mixing policy has no share. `DataFrame.to_parquet` and `to_csv` write the
    table.

    Args:
        paths: run folders, folders of runs, or folders of sweeps (`runs/sweeps/<id>`); one of them or several.

    Raises:
        UserError: a path is missing, or no run has a record.
    """
    return of_collection(collect(listed(paths)))


def of_collection(collection: Collection) -> pd.DataFrame:
    """Return every number of a collection, a row each, as `frame` does."""
    import pandas as pd  # because the report needs none of it

    settings = [setting for setting in collection.settings if setting != "name"]
    runs = [run for group in collection.seed_groups for run in group.runs]
    rows = [row for run in runs for record in run.records for row in _rows(run, record, settings)]
    columns = [*PLACE[:2], *settings, *PLACE[2:], *NUMBER]
    return pd.DataFrame(rows, columns=columns)


def _rows(run: Run, record: Record, settings: Sequence[str]) -> Iterator[list[Any]]:
    """Yield a row for each number of one line of the ledger."""
    place = [
        run.name,
        run.signature,
        *(plain(run.flat.get(setting)) for setting in settings),
        run.seed,
        record.generation,
        record.model,
        record.status,
    ]
    found = record.metrics
    for name in base_names(found):
        beside = [found.get(f"{name.key}_{part}", math.nan) for part in ("lo", "hi", "floor", "theory")]
        yield [*place, *_parts(name), found[name.key], *beside]


def _parts(name: Name) -> list[str]:
    return [name.key, name.subset, name.features, name.metric]
