"""Made-up ledgers for any claim: runs of its own cells in which its statistic has the values that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lab.results.names import member_of
from collapse_lab.results.run import Run
from collapse_lab.types import Record
from collapse_lab.verify.cells import Cell, cells
from collapse_lab.verify.claims import Claim, Test

FLOOR = 0.5
# (group, metric, generation) -> value
Values = dict[tuple[str, str, int], float]
Recipe = Callable[[Mapping[str, Any], Sequence[str], float], Values]
_known: dict[str, dict[str, Cell]] = {}  # the cells of claims, which have no hash


def _at(arguments: Mapping[str, Any]) -> int:
    generation = arguments.get("generation")
    return 0 if generation is None else int(generation)


def _two(x: Callable[[float], float], y: float) -> Recipe:
    """Return the recipe of a statistic of a group and its control at one generation."""

    def recipe(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
        return {(a["group"], a["metric"], _at(a)): x(v), (a["control"], a["metric"], _at(a)): y}

    return recipe


def _chain(x: Callable[[float], float], y: float) -> Recipe:
    """Return the recipe of a statistic of two generations of one group."""

    def recipe(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
        return {(a["group"], a["metric"], a["until"]): x(v), (a["group"], a["metric"], a["since"]): y}

    return recipe


def _level(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    return {(a["group"], a["metric"], _at(a)): v}


def _least(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    others = {(name, a["metric"], _at(a)): FLOOR + v for name in groups if name != a["control"]}
    return others | {(a["control"], a["metric"], _at(a)): FLOOR + 1}


def _least_ratio(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    others = {(name, a["metric"], _at(a)): 1.0 for name in groups if name != a["group"]}
    return others | {(a["group"], a["metric"], _at(a)): v}


def _least_growth(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    ends = {(name, a["metric"], a["until"]): FLOOR + v for name in groups}
    return ends | {(name, a["metric"], a["since"]): FLOOR + 1 for name in groups}


def _least_growth_after_harm(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    harmed = 2 * a["harm"]
    ends = {(name, a["metric"], a["until"]): FLOOR + harmed * v for name in groups}
    return ends | {
        (name, a["metric"], at): FLOOR + x for name in groups for at, x in ((a["since"], 1.0), (a["middle"], harmed))
    }


def _of_other(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    return {(a["group"], a["metric"], a["generation"]): v, (a["group"], a["other"], a["generation"]): 1.0}


def _difference_in_change(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    ends = {(a["group"], a["metric"], a["since"]): 5.0, (a["group"], a["metric"], a["until"]): 4.0 + v}
    return ends | {(a["control"], a["metric"], a["since"]): 3.0, (a["control"], a["metric"], a["until"]): 2.0}


def _extra_loss(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    ends = {(a["group"], a["metric"], a["since"]): 2.0, (a["group"], a["metric"], a["until"]): 2.0 + v}
    return ends | {(a["control"], a["metric"], g): FLOOR + 1 for g in (a["since"], a["until"])}


def _gap_left(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    ends = {(a["group"], a["metric"], a["since"]): 2.0, (a["group"], a["metric"], a["until"]): 1.0 + v}
    return ends | {(a["control"], a["metric"], g): 1.0 for g in (a["since"], a["until"])}


def _share_left(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    values = {a["group"]: FLOOR + 1 + v, a["untreated"]: FLOOR + 2, a["control"]: FLOOR + 1}
    return {(name, a["metric"], _at(a)): value for name, value in values.items()}


def _trend(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    """Order the groups so that the rank correlation with their places is as near to v as it can be."""
    places = range(len(groups))
    nearest = min(permutations(places), key=lambda order: abs(float(np.corrcoef(places, order)[0, 1]) - v))
    return {(name, a["metric"], _at(a)): 1.0 + rank for name, rank in zip(groups, nearest, strict=True)}


def _class_dispersion(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    """Give two classes the shares 1/2 + d and 1/2 - d, whose dispersion is 2 d."""
    place = a["metric"].rpartition("_")[0]
    apart = {a["group"]: 0.1 + v / 2, a["control"]: 0.1}
    return {
        (name, f"{place}_{c}", a["generation"]): 0.5 + sign * d
        for name, d in apart.items()
        for c, sign in ((0, 1), (1, -1))
    }


def _steps(a: Mapping[str, Any], groups: Sequence[str], v: float) -> Values:
    return {(a["group"], a["metric"], g): 10 + v * g for g in range(a.get("since", 0), a["until"] + 1)}


RECIPES: dict[str, Recipe] = {
    "level": _level,
    "difference": _two(lambda v: 10 + v, 10),
    "ratio": _two(lambda v: v, 1),
    "least_ratio": _least_ratio,
    "change": _chain(lambda v: 10 + v, 10),
    "growth": _chain(lambda v: v, 1),
    "times_excess": _two(lambda v: FLOOR + v, FLOOR + 1),
    "least_times_excess": _least,
    "excess_growth": _chain(lambda v: FLOOR + v, FLOOR + 1),
    "least_excess_growth": _least_growth,
    "least_growth_after_harm": _least_growth_after_harm,
    "share_of_level": _of_other,
    "difference_in_change": _difference_in_change,
    "extra_loss": _extra_loss,
    "gap_left": _gap_left,
    "share_left": _share_left,
    "trend": _trend,
    "class_dispersion": _class_dispersion,
    "largest_step": _steps,
}


def values_of(test: Test, groups: Sequence[str], v: float, seed: int) -> Values:
    """Return the ledger values of one seed with which the statistic of a test is v, if it is v in all seeds."""
    if test.statistic == "spread_over_seeds":
        return _two(lambda v: 1 + v * seed, 1 + seed)(test.arguments, groups, v)
    return RECIPES[test.statistic](test.arguments, groups, v)


def run_of(claim: Claim, group: str, seed: int, values: Values) -> Run:
    """Return a run of one cell of a claim whose ledger has these values, each beside its floor.

    Where a claim asks for a member of a population, another member has other values of the same names.
    """
    own = {(metric, generation): value for (name, metric, generation), value in values.items() if name == group}
    last = max((generation for _, generation in own), default=0)
    records = []
    for generation in range(last + 1):
        for member in sorted({member_of(metric)[0] for metric, _ in own}):
            found = {(key, g): v for (metric, g), v in own.items() for m, key in [member_of(metric)] if m == member}
            if member:
                others = {place: 7.5 + 3 * value for place, value in found.items()}
                records.append(Record(generation, "another", {}, _metrics(others, generation), {}, "ok", {}, {}))
            records.append(Record(generation, member or "model", {}, _metrics(found, generation), {}, "ok", {}, {}))
    return Run(
        Path(f"/runs/{claim.paper}/{claim.id}-{group}-{seed}"), _config(_cells(claim)[group], seed), tuple(records)
    )


def _cells(claim: Claim) -> dict[str, Cell]:
    """Return the cells of a claim, worked out once: a test makes up to twenty runs of them."""
    text = repr(claim)
    if text not in _known:
        _known[text] = cells(claim)
    return _known[text]


def _metrics(own: Mapping[tuple[str, int], float], generation: int) -> dict[str, float]:
    values = {metric: value for (metric, g), value in own.items() if g == generation}
    return values | {f"{metric}_floor": FLOOR for metric in values}


def _config(cell: Cell, seed: int) -> dict[str, Any]:
    """Return the nested configuration of a run of one cell."""
    flat = {**cell.flat, **dict.fromkeys(cell.free - cell.flat.keys(), seed), "seed": seed}
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return nested
