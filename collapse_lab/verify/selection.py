"""Selection of the runs that a claim is about: those whose settings are what its groups' overrides compose to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.run import Run
from collapse_lab.results.settings import flattened, short, shown
from collapse_lab.verify.claims import Claim
from collapse_lab.verify.commands import override_line

_ABSENT = object()
# A run that is longer than a claim needs is still a run of it, so the number of generations is free, as the seed is.
# The composed configurations show which other settings repeat these two values, which nobody would choose.
_FREE = {"seed": 2**41 + 1, "generations": 2**41 + 2}


@dataclass(frozen=True)
class Candidate:
    """Hold runs of every group of a claim that are alike in all settings which the groups do not set.

    Attributes:
        groups: The runs of each group, by the group's name.
        setting: How the runs' settings differ from the experiment's, e.g. "n_samples 64 instead of 600".
    """

    groups: Mapping[str, tuple[Run, ...]]
    setting: tuple[str, ...]

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
    """Hold the candidates for one claim.

    Attributes:
        candidates: The candidates, best first.
        lacking: Why there are none; "" where there are some.
    """

    candidates: tuple[Candidate, ...]
    lacking: str = ""


def select(claim: Claim, runs: Sequence[Run]) -> Selection:
    """Return the candidates: largest n first, then nearest to the experiment's settings, then most runs.

    Args:
        claim: The claim.
        runs: All runs that were collected, of any experiment.

    Raises:
        UserError: The configuration has no such experiment, or no such setting.
    """
    composed = {name: _composed(*override_line(claim, overrides)) for name, overrides in claim.groups.items()}
    free = _free_keys(claim)
    pinned = _pinned(claim, composed) - free
    by_other_settings: dict[Hashable, dict[str, list[Run]]] = {}
    for run in runs:
        others = repr(
            sorted((k, _plain(v)) for k, v in run.flat.items() if k not in pinned and not _is_free(run, k, free))
        )
        for name, flat in composed.items():
            if all(run.flat.get(key, _ABSENT) == flat.get(key, _ABSENT) for key in pinned):
                by_other_settings.setdefault(others, {}).setdefault(name, []).append(run)
    experiment = next(iter(composed.values()))
    candidates = [
        Candidate(
            {name: tuple(groups[name]) for name in composed},
            _setting(next(iter(groups.values()))[0], pinned, free, experiment),
        )
        for groups in by_other_settings.values()
        if groups.keys() == composed.keys()
    ]
    candidates.sort(key=lambda c: (-c.n, len(c.setting), -len(c.runs)))
    return Selection(tuple(candidates), "" if candidates else _lacking(composed, by_other_settings))


@cache
def _composed(*line: str) -> dict[str, Any]:
    # Because Hydra takes long to import, --help does without it
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from collapse_lab.config.explain import explain
    from collapse_lab.config.scales import at_scale
    from collapse_lab.config.searchpath import CONF, folders, register
    from collapse_lab.config.signature import canonical

    register()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return flattened(canonical(compose("config", at_scale(line, folders()))))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"a claim asks for {' '.join(line)}: {explain(error, folders())}") from error


def _pinned(claim: Claim, composed: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the settings that make a run one of a group: what overrides change, or name without changing it."""
    bases = [_composed(override_line(claim, overrides)[0]) for overrides in claim.groups.values()]
    configurations = [*composed.values(), *bases]
    keys = {key for flat in configurations for key in flat}
    named = {key for overrides in claim.groups.values() for key in overrides}
    first = configurations[0]
    pinned = {key for key in keys if any(flat.get(key, _ABSENT) != first.get(key, _ABSENT) for flat in configurations)}
    pinned |= {key for key in keys if any(key == name or key.startswith(f"{name}.") for name in named)}
    return pinned | {"name"}


def _free_keys(claim: Claim) -> set[str]:
    """Return seed and generations, and the settings that repeat them unless a run sets them otherwise."""
    free = [f"{key}={value}" for key, value in _FREE.items()]
    flats = [_composed(*override_line(claim, overrides), *free) for overrides in claim.groups.values()]
    return {key for flat in flats for key, value in flat.items() if value in _FREE.values()}


def _is_free(run: Run, key: str, free: set[str]) -> bool:
    """Return whether a setting of a run only repeats the run's seed or its number of generations."""
    return key in free and run.flat[key] == run.flat.get(key.rpartition(".")[2])


def _setting(run: Run, pinned: set[str], free: set[str], experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how a run's settings differ from those of its experiment."""
    return tuple(
        f"{short(key)} {shown(value)} instead of {shown(experiment[key])}"
        for key, value in run.flat.items()
        if key in experiment and key not in pinned and not _is_free(run, key, free) and value != experiment[key]
    )


def _lacking(composed: Mapping[str, Any], by_other_settings: Mapping[Hashable, Mapping[str, Sequence[Run]]]) -> str:
    missing = [name for name in composed if not any(name in groups for groups in by_other_settings.values())]
    if missing:
        return f"no run of the group{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    return "its groups were run, but with different settings"


def _plain(value: Any) -> str:
    """Return a value as text; 1 and 1.0 are the same setting."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
