"""Values of several groups, generations and floors that belong to one seed, and words for runs without a partner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.paired import Pairs
from collapse_lab.results.run import Run
from collapse_lab.results.series import final, floor_of, value

FLOOR = -1  # in the place of a generation: the value of real images against real images


@dataclass(frozen=True)
class Matched:
    """Hold values that belong together by seed.

    Attributes:
        columns: (k, n), the values of k places over n seeds; n may be 0.
        note: How many runs have no partner; "" where all have.
        lacking: What no seed has, for the case of n = 0.
    """

    columns: np.ndarray
    note: str
    lacking: str

    def __len__(self) -> int:
        return int(self.columns.shape[1])


def matched(groups: Mapping[str, tuple[Run, ...]], metric: str, places: Sequence[tuple[str, int]]) -> Matched:
    """Return the values of a metric at several places, over the seeds that have all of them.

    Args:
        groups: The runs of each group.
        metric: The metric's name in the ledger.
        places: (group, generation) of each column; the generation FLOOR is the group's own floor.

    Raises:
        UserError: The features behind the metric differ between the runs of these groups.
    """
    names = list(dict.fromkeys(name for name, _ in places))
    require_comparable([run for name in names for run in groups[name]], metric)
    by_seed = {name: {run.seed: run for run in groups[name]} for name in names}
    seeds = [seed for seed in by_seed[names[0]] if all(seed in runs for runs in by_seed.values())]
    rows = [[_at(by_seed[name][seed], metric, generation) for name, generation in places] for seed in seeds]
    known = [row for row in rows if None not in row]
    without = max(len(runs) for runs in by_seed.values()) - len(known)
    generations = sorted({generation for _, generation in places if generation != FLOOR})
    floor = " beside its floor" if any(generation == FLOOR for _, generation in places) else ""
    return Matched(
        np.asarray(known, float).reshape(-1, len(places)).T,
        runs_left_out(without),
        f"no seed has {metric}{floor} in {' and '.join(names)} at generation {' and '.join(map(str, generations))}",
    )


def last_of_all(groups: Mapping[str, tuple[Run, ...]], names: Sequence[str], metric: str) -> int:
    """Return the last generation that some run of every group has."""
    return min(max((final(run, metric) for run in groups[name]), default=-1) for name in names)


def left_out(paired: Pairs) -> str:
    """Return how many runs have no partner, in words."""
    return runs_left_out(paired.left_out)


def lacking(paired: Pairs) -> str:
    """Return what no pair of runs has, in words."""
    when = f"generation {paired.generation}" if paired.generation >= 0 else "any generation"
    return f"no pair of runs has {paired.metric} at {when}"


def runs_left_out(n: int) -> str:
    """Return how many runs a number is computed without, in words; "" for none."""
    return f"{n} run{'s' if n > 1 else ''} left out" if n else ""


def _at(run: Run, metric: str, generation: int) -> float | None:
    return floor_of(run, metric) if generation == FLOOR else value(run, metric, generation)
