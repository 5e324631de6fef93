"""A collection of runs read from folders: the runs, the knobs that differ between them, and their seed groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.comparable import comparable_groups, group_differences
from collapse_lab.results.knobs import differing_settings, find_followers, find_knobs, frozen_value
from collapse_lab.results.names import Name, base_names
from collapse_lab.results.own_classes import with_summary
from collapse_lab.results.references import with_reference
from collapse_lab.results.run import Run, read_run
from collapse_lab.results.settings import ABSENT, is_number, joined, labelled, sort_key, title_of
from collapse_lab.results.sweeps import is_sweep, runs_of
from collapse_lab.storage.formats import FORMAT
from collapse_lab.storage.ledger import problems, runs_below

MOST_FOLLOWERS = 4  # settings that one sentence names


@dataclass(frozen=True)
class SeedGroup:
    """Hold the runs of one configuration, which differ in nothing but their seed.

    Attributes:
        knobs: The value of each knob of the collection, by dotted name.
        runs: The runs, ordered by seed.
    """

    knobs: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """Return the knobs as text, e.g. "ratio 0.1, guidance_scale 2"; "" where there is no knob."""
        return labelled(self.knobs)


@dataclass(frozen=True)
class Collection:
    """Hold all runs that one report is about.

    Attributes:
        runs: All runs.
        knobs: The dotted names of the settings, the seed left out, that differ between runs and do not merely follow
            another setting.
        seed_groups: The runs grouped by the values of the knobs, ordered by these values.
        unreadable: Why runs are left out whose files cannot be read, one sentence each.
    """

    runs: tuple[Run, ...]
    knobs: tuple[str, ...]
    seed_groups: tuple[SeedGroup, ...]
    unreadable: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Return the dotted names of all settings in which the runs differ, the knobs among them; the seed is none."""
        return differing_settings(self.runs)

    @cached_property
    def followers(self) -> tuple[str, ...]:
        """Return the settings that differ along with the knobs, as `knobs.find_followers` does."""
        return find_followers(self.runs, self.knobs)

    @property
    def too(self) -> str:
        """Return in words what differs along with the knobs, e.g. "mixing and n_train differ too"; "" for nothing."""
        names = list(dict.fromkeys(map(title_of, self.followers)))
        listed = names if len(names) <= MOST_FOLLOWERS else [*names[: MOST_FOLLOWERS - 1], "others"]
        return f"{joined(listed)} {'differs' if len(names) == 1 else 'differ'} too" if names else ""

    @cached_property
    def names(self) -> list[Name]:
        """Return every metric that any run has, key metrics first."""
        names = base_names({key for run in self.runs for record in run.records for key in record.metrics})
        return [with_summary(with_reference(name, self.runs), self.runs) for name in names]

    @cached_property
    def floors(self) -> dict[str, tuple[float, float]]:
        """Return the (smallest, largest) value of each metric for real against real, where it is known."""
        measured = [record.metrics for run in self.runs for record in run.records]
        floors = {}
        for name in self.names:
            key = f"{name.key}_floor"
            values = [metrics[key] for metrics in measured if key in metrics]
            if values:
                floors[name.key] = min(values), max(values)
        return floors

    @property
    def experiments(self) -> list[str]:
        """Return the names of the experiments, sorted, without repeats."""
        return sorted({run.name for run in self.runs})

    @property
    def last(self) -> int:
        """Return the last generation of any run."""
        return max(run.last for run in self.runs)

    @property
    def dose(self) -> str | None:
        """Return the knob of the dose-response figure: `ratio`, or else the numeric knob with the most values.

        Groups whose mixing policy has no share have no `ratio`; `dosed` leaves them out.
        """
        numeric = [knob for knob in self.knobs if self.is_numeric(knob)]
        if len({group.knobs["ratio"] for group in self._having("ratio")}) > 1:
            return "ratio"
        return max(numeric, key=lambda knob: len({group.knobs[knob] for group in self.seed_groups}), default=None)

    @property
    def dosed(self) -> tuple[SeedGroup, ...]:
        """Return the seed groups that have a dose; all of them where no dose was swept."""
        return self.seed_groups if self.dose is None else self._having(self.dose)

    def _having(self, knob: str) -> tuple[SeedGroup, ...]:
        return tuple(group for group in self.seed_groups if is_number(group.knobs.get(knob)))

    def is_numeric(self, knob: str) -> bool:
        """Return whether a knob is a number in every seed group."""
        return all(is_number(group.knobs[knob]) for group in self.seed_groups)

    @property
    def warnings(self) -> list[str]:
        """Return what a reader must know before trusting the page, one sentence each."""
        warnings = [f"a run is left out: {reason}" for reason in self.unreadable]
        warnings += [f"{run.name} {run.signature}: {problem}" for run in self.runs for problem in problems(run.records)]
        for run in self.runs:
            if run.status != "complete":
                verb = "" if run.status == "diverged" else "is "
                warnings.append(f"{run.name} {run.signature} {verb}{run.status}")
            if run.format < FORMAT:
                warnings.append(
                    f"{run.name} {run.signature} has format {run.format} of an earlier version: it is read as it is, "
                    "and the same command would not continue it"
                )
        return warnings + self._comparison_warnings()

    def _comparison_warnings(self) -> list[str]:
        first, *others = comparable_groups(self.runs)
        return [
            f"{_described(group)} must not be compared with {_described(first)}: "
            f"{'; '.join(group_differences(group, first))}"
            for group in others
        ]


def listed(paths: Sequence[Path | str] | Path | str) -> list[Path]:
    """Return as a list what a user may give as one path or as several."""
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def collect(paths: Sequence[Path], strict: bool = True) -> Collection:
    """Read every run at or below the given paths, each configuration once.

    Of several folders with the same configuration and seed, the one with the most records counts. A copy of a run is
    not a second seed: counted twice, it would make every interval too narrow.

    Args:
        paths: Run folders, ledgers, folders of runs, or folders of sweeps (`runs/sweeps/<id>`).
        strict: Whether one run that cannot be read refuses all. Otherwise it is left out and named in `unreadable`.

    Returns:
        The runs as one collection.

    Raises:
        UserError: A path is missing, no run has a record, no run can be read, or, where `strict`, one cannot be read.
    """
    found = [folder for path in paths for folder in (runs_of(path) if is_sweep(path) else runs_below(path))]
    folders = sorted({folder.resolve() for folder in found})
    runs, errors = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            errors.append(error)
    if errors and (strict or not runs):
        raise errors[0]
    runs = _distinct(runs)
    if not any(run.records for run in runs):
        raise UserError(f"no ledger with a record below {', '.join(map(str, paths))}: has a run finished a generation?")
    return gathered(runs, map(str, errors))


def gathered(runs: Sequence[Run], unreadable: Iterable[str] = ()) -> Collection:
    """Return runs as a collection; its knobs are the settings that differ between exactly these runs.

    Args:
        runs: The runs.
        unreadable: Why runs are left out whose files cannot be read, one sentence each.
    """
    knobs = find_knobs(runs)
    by_values: dict[Hashable, list[Run]] = {}
    for run in runs:
        by_values.setdefault(tuple(frozen_value(run, knob) for knob in knobs), []).append(run)
    seed_groups = [
        SeedGroup(
            {knob: members[0].flat.get(knob, ABSENT) for knob in knobs},
            tuple(sorted(members, key=lambda run: sort_key(run.seed))),
        )
        for members in by_values.values()
    ]
    seed_groups.sort(key=lambda group: [sort_key(value) for value in group.knobs.values()])
    return Collection(tuple(runs), knobs, tuple(seed_groups), tuple(unreadable))


def _distinct(runs: Sequence[Run]) -> list[Run]:
    by_config: dict[Hashable, Run] = {}
    for run in runs:
        key = repr(sorted(run.flat.items(), key=lambda item: item[0]))
        if key not in by_config or len(run.records) > len(by_config[key].records):
            by_config[key] = run
    return list(by_config.values())


def _described(runs: Sequence[Run]) -> str:
    names = sorted({run.name for run in runs})
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''} of {joined(names)}"
