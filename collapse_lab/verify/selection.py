"""Selection of the runs that a claim is about.

The verdict comes from runs whose whole configuration is the one that the claim asks for. Runs of the same groups at
another size, data set or budget are candidates of their own, and are shown beside the verdict.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collapse_lab.results.run import Run
from collapse_lab.results.settings import ABSENT, short, shown
from collapse_lab.verify.cells import Cell, cells
from collapse_lab.verify.claims import Claim


@dataclass(frozen=True)
class Candidate:
    """Hold runs of every group of a claim that are alike in all settings which the groups do not set.

    Attributes:
        groups: The runs of each group, by the group's name.
        setting: How the runs' settings differ from those that the claim asks for, e.g. "n_samples 64 instead of 600".
    """

    groups: Mapping[str, tuple[Run, ...]]
    setting: tuple[str, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """Return the runs of all groups."""
        return [run for runs in self.groups.values() for run in runs]

    @property
    def n(self) -> int:
        """Return how many samples each number of the runs is computed from."""
        return int(self.runs[0].flat.get("n_samples", 0))


@dataclass(frozen=True)
class Selection:
    """Hold the runs for one claim.

    Attributes:
        own: The runs at the claim's own setting; None where a group has none.
        others: Runs of the same groups at other settings, the largest n first.
        lacking: Why there are no runs of its own; "" where there are.
    """

    own: Candidate | None
    others: tuple[Candidate, ...]
    lacking: str = ""


def select(claim: Claim, runs: Sequence[Run]) -> Selection:
    """Return the runs of a claim at its own setting, and beside them those at others.

    Args:
        claim: The claim.
        runs: All runs that were collected, of any experiment.

    Raises:
        UserError: The configuration has no such experiment, or no such setting.
    """
    experiments = {str(overrides.get("experiment", claim.experiment)) for overrides in claim.groups.values()}
    nearby = [run for run in runs if run.name in experiments]
    if not nearby:
        return Selection(None, (), f"no run of {' or '.join(sorted(experiments))}")
    wanted = cells(claim)
    own: dict[str, list[Run]] = {name: [] for name in wanted}
    by_setting: dict[Hashable, dict[str, list[Run]]] = {}
    for name, cell in wanted.items():
        for run in filter(cell.meets, nearby):
            apart = cell.differences(run)
            if apart:
                setting = tuple(sorted((key, _plain(run.flat.get(key))) for key in apart))
                by_setting.setdefault(setting, {}).setdefault(name, []).append(run)
            else:
                own[name].append(run)
    others = [
        Candidate({name: tuple(groups[name]) for name in wanted}, _setting(wanted, groups))
        for groups in by_setting.values()
        if groups.keys() == wanted.keys()
    ]
    others.sort(key=lambda candidate: (-candidate.n, len(candidate.setting), -len(candidate.runs)))
    missing = [name for name, members in own.items() if not members]
    if missing:
        groups = f"group{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        return Selection(None, tuple(others), f"no run of the {groups} at the setting of the claim")
    return Selection(Candidate({name: tuple(members) for name, members in own.items()}), tuple(others))


def _setting(wanted: Mapping[str, Cell], groups: Mapping[str, Sequence[Run]]) -> tuple[str, ...]:
    """Return how the settings of some runs differ from those of the claim; all runs of a group differ alike."""
    name = next(iter(wanted))
    cell, run = wanted[name], groups[name][0]
    words = (
        f"{short(key)} {_shown(run.flat.get(key))} instead of {_shown(cell.flat.get(key))}"
        for key in cell.differences(run)
    )
    return tuple(dict.fromkeys(words))  # because several settings repeat one of the root


def _shown(value: Any) -> str:
    return ABSENT if value is None else shown(value)


def _plain(value: Any) -> str:
    """Return a value as text; 1 and 1.0 are the same setting."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
