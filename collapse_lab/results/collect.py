"""Run folders read into one collection: its runs, the knobs that differ between them, and its cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.errors import UserError
from collapse_lab.results.comparable import between, groups
from collapse_lab.results.names import Name, base_names
from collapse_lab.storage.ledger import LEDGER, problems, read, runs_below
from collapse_lab.types import Record

# Where and how a run is computed, which its signature leaves out too.
ASIDE = ("paths", "sinks", "store", "hydra", "device", "dry_run", "signature")


@dataclass(frozen=True)
class Run:
    """One run folder: its resolved configuration and its ledger."""

    folder: Path
    config: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """The experiment."""
        return str(self.config.get("name", self.folder.parent.name))

    @property
    def signature(self) -> str:
        """The run folder's name."""
        return self.folder.name

    @property
    def seed(self) -> Any:
        """None where the configuration has none."""
        return self.config.get("seed")

    @property
    def last(self) -> int:
        """The last generation in the ledger, -1 where there is none."""
        return max((r.generation for r in self.records), default=-1)

    @property
    def status(self) -> str:
        """Either "complete", "diverged" or "unfinished (3 of 5)"."""
        if any(r.status == "diverged" for r in self.records):
            return "diverged"
        due = self.config.get("generations")
        if isinstance(due, int) and self.last < due:
            return f"unfinished ({max(self.last, 0)} of {due})"
        return "complete"

    @property
    def fingerprints(self) -> Mapping[str, Mapping[str, Any]]:
        """What its features were made with; a diverged generation measured nothing and has none."""
        return next((r.features for r in reversed(self.records) if r.features), {})

    @cached_property
    def flat(self) -> dict[str, Any]:
        """The configuration with dotted keys, without what cannot change the result."""
        return flattened(self.config)


@dataclass(frozen=True)
class Cell:
    """The runs that differ in nothing but their seed."""

    knobs: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """E.g. "ratio 0.1, guidance_scale 2"."""
        return labelled(self.knobs)


@dataclass(frozen=True)
class Collection:
    """Everything that one report is about.

    knobs: dotted names of the settings, seed aside, that differ between runs and do not just follow another.
    """

    runs: tuple[Run, ...]
    knobs: tuple[str, ...]
    cells: tuple[Cell, ...]

    @cached_property
    def names(self) -> list[Name]:
        """Every metric of any run, key metrics first."""
        return base_names({key for run in self.runs for record in run.records for key in record.metrics})

    @cached_property
    def floors(self) -> dict[str, tuple[float, float]]:
        """(least, greatest) value of each metric for real against real, where it is known."""
        measured = [record.metrics for run in self.runs for record in run.records]
        found = {}
        for name in self.names:
            key = f"{name.key}_floor"
            values = [metrics[key] for metrics in measured if key in metrics]
            if values:
                found[name.key] = min(values), max(values)
        return found

    @property
    def experiments(self) -> list[str]:
        """Sorted, each once."""
        return sorted({run.name for run in self.runs})

    @property
    def last(self) -> int:
        """The last generation of any run."""
        return max(run.last for run in self.runs)

    @property
    def dose(self) -> str | None:
        """The knob of the dose-response figure: `ratio`, or else the numeric knob with most values."""
        numeric = [k for k in self.knobs if self.is_numeric(k)]
        if "ratio" in numeric:
            return "ratio"
        return max(numeric, key=lambda k: len({c.knobs[k] for c in self.cells}), default=None)

    def is_numeric(self, knob: str) -> bool:
        """Whether a setting is a number in every cell."""
        return all(_is_number(cell.knobs[knob]) for cell in self.cells)

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before believing the page."""
        found = [f"{run.name} {run.signature}: {p}" for run in self.runs for p in problems(run.records)]
        found += [f"{r.name} {r.signature} is {r.status}" for r in self.runs if r.status != "complete"]
        return found + self._unlike()

    def _unlike(self) -> list[str]:
        first, *others = groups(self.runs)
        return [
            f"{_called(group)} must not be compared with {_called(first)}: {'; '.join(between(first, group))}"
            for group in others
        ]


def collect(paths: Sequence[Path]) -> Collection:
    """Reads every run at or below `paths`, each once: of folders with the same configuration, the one furthest on.

    A copy of a run is no second seed, and would make every interval too narrow.

    Raises:
        UserError: a path is missing, a ledger is corrupt, or no run has a record.
    """
    folders = sorted({folder.resolve() for path in paths for folder in runs_below(path)})
    runs = _distinct([_read(folder) for folder in folders])
    if not any(run.records for run in runs):
        raise UserError(f"no ledger with a record below {', '.join(map(str, paths))}: has a run finished a generation?")
    return gathered(runs)


def gathered(runs: Sequence[Run]) -> Collection:
    """Some runs as a collection of their own: what differs between these is a knob."""
    knobs = _knobs(runs)
    grouped: dict[Hashable, list[Run]] = {}
    for run in runs:
        grouped.setdefault(tuple(_frozen(run, k) for k in knobs), []).append(run)
    cells = [
        Cell(
            {k: members[0].flat.get(k, "–") for k in knobs},
            tuple(sorted(members, key=lambda r: _rank(r.seed))),
        )
        for members in grouped.values()
    ]
    cells.sort(key=lambda cell: [_rank(v) for v in cell.knobs.values()])
    return Collection(tuple(runs), knobs, tuple(cells))


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with dotted keys, without what cannot change the result."""
    return dict(_flatten({k: v for k, v in config.items() if k not in ASIDE}))


def labelled(knobs: Mapping[str, Any]) -> str:
    """Settings as a reader names them, e.g. "ratio 0.1, guidance_scale 2"."""
    return ", ".join(shown(v) if k == "name" else f"{short(k)} {shown(v)}" for k, v in knobs.items())


def shown(value: Any) -> str:
    """A setting's value: 1.0 and 1 read alike, and a class of ours is called by its last name."""
    if isinstance(value, str) and value.startswith("collapse_lab."):
        return value.rpartition(".")[2]
    return f"{value:g}" if isinstance(value, float) else str(value)


def short(knob: str) -> str:
    """The last part of a dotted name; a class that was swept is called as its group."""
    return knob.removesuffix("._target_").rpartition(".")[2]


def _distinct(runs: Sequence[Run]) -> list[Run]:
    kept: dict[Hashable, Run] = {}
    for run in runs:
        key = repr(sorted(run.flat.items(), key=lambda item: item[0]))
        if key not in kept or len(run.records) > len(kept[key].records):
            kept[key] = run
    return list(kept.values())


def _called(group: Sequence[Run]) -> str:
    names = " and ".join(sorted({run.name for run in group}))
    return f"{len(group)} run{'s' if len(group) > 1 else ''} of {names}"


def _read(folder: Path) -> Run:
    path = folder / "config.yaml"
    try:
        config = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({error}); a run folder holds config.yaml and {LEDGER}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} should hold a mapping of settings")
    return Run(folder, config, tuple(read(folder / LEDGER)))


def _knobs(runs: Sequence[Run]) -> tuple[str, ...]:
    keys = {key for run in runs for key in run.flat}
    differ = [key for key in keys if len({_frozen(run, key) for run in runs}) > 1]
    # A leaf that repeats the seed is the seed; a setting that only goes along with it, each value with seeds of its
    # own, is a knob: runs that differ in it are not one cell.
    differ = [k for k in differ if not (k.endswith("seed") and all(run.flat.get(k) == run.seed for run in runs))]
    # Leaves repeat the root's shortcuts in a resolved configuration: the knob is the one nearest to the root.
    differ.sort(key=lambda key: (key != "name", key.count("."), key))
    kept: list[str] = []
    for key in differ:
        if not _follows(runs, key, kept):
            kept.append(key)
    return tuple(kept)


def _follows(runs: Sequence[Run], key: str, leaders: Sequence[str]) -> bool:
    """Whether one of `leaders` says what `key` is where a run has it, and all of them together where it is."""
    having = [run for run in runs if key in run.flat]
    return _told(runs, key, leaders) and any(_told(having, key, [one]) for one in leaders)


def _told(runs: Sequence[Run], key: str, by: Sequence[str]) -> bool:
    places = [tuple(_frozen(run, leader) for leader in by) for run in runs]
    return len({(at, _frozen(run, key)) for at, run in zip(places, runs, strict=True)}) == len(set(places))


def _frozen(run: Run, key: str) -> Hashable:
    return repr(run.flat.get(key))


def _flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            items += _flatten(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank(value: Any) -> tuple[bool, float, str]:
    return (False, float(value), "") if _is_number(value) else (True, 0.0, str(value))
