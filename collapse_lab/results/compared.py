"""Differences of runs from their partners of the same seed as one table: mean, interval, n, p, p after Holm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse_lab.errors import UserError
from collapse_lab.results.collect import Collection, collect, gathered, listed
from collapse_lab.results.comparable import comparable_groups, require_comparable
from collapse_lab.results.intervals import of_mean, p_of_mean
from collapse_lab.results.knobs import differing_settings, is_of_measured
from collapse_lab.results.multiplicity import holm
from collapse_lab.results.names import Name, base_names
from collapse_lab.results.paired import controls
from collapse_lab.results.run import Run
from collapse_lab.results.settings import ABSENT, joined, labelled, plain

if TYPE_CHECKING:
    import pandas as pd

LENGTHS = ("name", "generations")  # a longer chain has the same generations, and a name changes no number
LAST = -1  # stands for the last generation of those that most pairs have
KEYS = ("generation", "model", "name", "subset", "features", "metric")
NUMBERS = ("value", "other", "difference", "lo", "hi", "n", "p", "p_holm")

Pair = tuple[Run, Run]


def compare(
    runs: Sequence[Path | str] | Path | str, control: Sequence[Path | str] | Path | str, generation: int | None = LAST
) -> pd.DataFrame:
    """Return how some runs differ from others, paired by seed, a row for each number of the ledger.

    The columns are `generation`, `model`, `name` with its parts `subset`, `features` and `metric`; the means `value`
    and `other` of both sides; their `difference` with its 95 % t-interval `lo` to `hi`; the number of pairs `n`; `p` of
    Student's t-test of the pairs; and `p_holm`, corrected for the number of comparisons in the table. A single pair has
    no interval and no p: these are NaN.

    Args:
        runs: folders of runs of one configuration, one for each seed, or a folder of them.
        control: the same of the runs that are subtracted.
        generation: the generation; -1 takes the last of those that most pairs have, None takes every one, a row each.

    Raises:
        UserError: a path is missing, several runs of a side have one seed, runs of a side differ in a setting, no seed
            is on both sides, or the features behind a number differ.
    """
    sides = [collect(listed(side)).runs for side in (runs, control)]
    return compared(_paired(*sides), generation)


def compared(pairs: Sequence[Pair], generation: int | None = LAST) -> pd.DataFrame:
    """Return the differences of pairs of runs as `compare` does.

    Args:
        pairs: (run, partner), 1 or more.
        generation: as of `compare`.

    Raises:
        UserError: the features behind a number differ between the runs.
    """
    import pandas as pd  # because the report needs none of it

    rows = _rows(pairs, generation)
    adjusted = holm([row[-1] for row in rows])
    return pd.DataFrame([[*row, p] for row, p in zip(rows, adjusted, strict=True)], columns=[*KEYS, *NUMBERS]).astype(
        dict.fromkeys(("p", "p_holm"), float)
    )


def from_controls(collection: Collection) -> pd.DataFrame:
    """Return how each configuration of a sweep differs from its control, as `compare` does, at the last generation.

    Every setting in which the runs differ has a column before the others. `control` names the settings of the control.

    Args:
        collection: the runs of a sweep.

    Raises:
        UserError: no configuration has a control with a seed in common.
    """
    import pandas as pd

    found, columns = [], list(collection.settings)
    for runs in comparable_groups(collection.runs):
        one = gathered(runs)
        named = (*one.knobs, *one.followers)
        for group, control in zip(one.seed_groups, controls(one), strict=True):
            pairs = [(run, other) for run in group.runs for other in control.runs if run.seed == other.seed]
            if group is not control and pairs:
                settings = [plain(group.runs[0].flat.get(name)) for name in columns]
                label = labelled({name: control.runs[0].flat.get(name, ABSENT) for name in named})
                found += [[*settings, label, *row] for row in _rows(pairs, LAST)]
    if not found:
        raise UserError(
            "no configuration has a control to be compared with: give the runs of a sweep, such as ratio=0,0.1,1, "
            "whose configurations have seeds in common"
        )
    adjusted = holm([row[-1] for row in found])
    rows = [[*row, p] for row, p in zip(found, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=[*columns, "control", *KEYS, *NUMBERS])


def _rows(pairs: Sequence[Pair], generation: int | None) -> list[list[Any]]:
    """Return the columns of the table but the last one."""
    values: dict[tuple[int, str, str], list[tuple[float, float]]] = {}
    for run, other in pairs:
        theirs = {(record.generation, record.model): record.metrics for record in other.records}
        for record in run.records:
            found = theirs.get((record.generation, record.model), {})
            for name in base_names(record.metrics):
                if name.key in found:
                    place = record.generation, record.model, name.key
                    values.setdefault(place, []).append((record.metrics[name.key], found[name.key]))
    if generation == LAST:
        values = _at_the_last(values)
    elif generation is not None:
        values = {place: both for place, both in values.items() if place[0] == generation}
    everyone = [run for pair in pairs for run in pair]
    for key in dict.fromkeys(key for _, _, key in values):
        require_comparable(everyone, key)
    return [_row(*place, both) for place, both in sorted(values.items())]


def _at_the_last(
    values: dict[tuple[int, str, str], list[tuple[float, float]]],
) -> dict[tuple[int, str, str], list[tuple[float, float]]]:
    """Return each number at the last generation of those that most pairs have, so that no chain that ended decides."""
    chosen: dict[tuple[str, str], tuple[int, int]] = {}
    for (generation, model, key), both in values.items():
        chosen[model, key] = max(chosen.get((model, key), (0, LAST)), (len(both), generation))
    return {place: both for place, both in values.items() if chosen[place[1:]][1] == place[0]}


def _row(generation: int, model: str, key: str, both: Sequence[tuple[float, float]]) -> list[Any]:
    name = Name.of(key)
    differences = [value - other for value, other in both]
    mean, n = of_mean(differences), len(both)
    value, other = (math.fsum(side) / n for side in zip(*both, strict=True))
    ends = [math.nan if end is None else end for end in (mean.lo, mean.hi)]
    parts = [key, name.subset, name.features, name.metric]
    return [generation, model, *parts, value, other, mean.value, *ends, n, p_of_mean(differences)]


def _paired(runs: Sequence[Run], control: Sequence[Run]) -> list[Pair]:
    for side in (runs, control):
        seeds = [run.seed for run in side]
        if len(set(seeds)) < len(seeds):
            raise UserError(
                f"{len(seeds)} runs have {len(set(seeds))} different seeds: give the runs of one configuration, one "
                "for each seed; `collapse-lab report PATH --differences FILE` compares the configurations of a sweep"
            )
        differing = [
            name for name in differing_settings(side) if name not in LENGTHS and not is_of_measured(side, name)
        ]
        if differing:
            raise UserError(
                f"the runs of one side differ in {joined(differing)} besides the seed, so that their mean is of no "
                "configuration: give the runs of one configuration, one for each seed"
            )
    partners = {run.seed: run for run in control}
    pairs = [(run, partners[run.seed]) for run in runs if run.seed in partners]
    if not pairs:
        raise UserError(
            f"no seed is on both sides: {sorted(str(run.seed) for run in runs)} against "
            f"{sorted(str(run.seed) for run in control)}"
        )
    return pairs
