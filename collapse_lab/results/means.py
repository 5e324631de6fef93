"""Means over seeds as one table: every number of every setting and generation, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collapse_lab.results.collect import Collection, collect, listed
from collapse_lab.results.compared import KEYS
from collapse_lab.results.frames import NUMBER, PLACE, of_collection
from collapse_lab.results.intervals import of_mean

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("mean", "lo", "hi", "n", "floor", "theory")


def means(paths: Sequence[Path | str] | Path | str) -> pd.DataFrame:
    """Return the mean over seeds of every number, a row for each setting, generation and number.

    The columns are `experiment`, the settings in which the runs differ (the seed aside), `generation`, `model`, `name`
    with its parts `subset`, `features` and `metric`; then the `mean` of the seeds with its 95 % t-interval `lo` to `hi`
    (mean ± t · s / √n), the number of seeds `n`, and the means of `floor` and `theory`. A single seed has no interval:
    it is NaN. Of two seeds t is 12.7, so that their interval may go below 0 where the metric cannot. The rows are in
    the order of the settings, then of the generations.

    Args:
        paths: run folders, folders of runs, or folders of sweeps (`runs/sweeps/<id>`); one of them or several.

    Raises:
        UserError: a path is missing, or no run has a record.
    """
    return of_seeds(collect(listed(paths)))


def of_seeds(collection: Collection) -> pd.DataFrame:
    """Return the means of a collection, as `means` does."""
    import pandas as pd  # because the report needs none of it

    table = of_collection(collection)
    settings = [column for column in table.columns if column not in (*PLACE, *NUMBER)]
    keys = ["experiment", *settings, *KEYS]
    rows = []
    for place, seeds in table.groupby(keys, sort=False, dropna=False):
        estimate = of_mean(seeds["value"].to_numpy())
        beside = [float(seeds[name].mean()) for name in ("floor", "theory")]
        rows.append([*place, estimate.value, estimate.lo, estimate.hi, len(seeds), *beside])
    return pd.DataFrame(rows, columns=[*keys, *NUMBERS]).astype(dict.fromkeys(("lo", "hi"), float))
