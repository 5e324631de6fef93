"""The runs that a claim is about: those whose settings are what its cells' overrides compose to."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from collapse_lab.errors import UserError
from collapse_lab.results.collect import Run, flattened, short, shown
from collapse_lab.verify.claims import Claim

_ABSENT = object()
# A longer chain is the same chain up to where the shorter one ends. The values are none that anyone gives.
_FREE = {"seed": 2**41 + 1, "generations": 2**41 + 2}


@dataclass(frozen=True)
class Candidate:
    """Runs of every cell of a claim, alike in all that its cells do not set.

    setting: what they have otherwise than the experiment, e.g. "n_samples 64 instead of 600".
    """

    cells: Mapping[str, tuple[Run, ...]]
    setting: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for runs in self.cells.values() for run in runs]

    @property
    def n(self) -> int:
        """How many samples each number rests on."""
        return int(self.runs[0].flat.get("n_samples", 0))


@dataclass(frozen=True)
class Selection:
    """What there is for one claim: candidates, best first, and where there are none the reason."""

    candidates: tuple[Candidate, ...]
    lacking: str = ""


def select(claim: Claim, runs: Sequence[Run]) -> Selection:
    """Candidates by size: the largest n first, then the one nearest to the experiment's settings, then most runs.

    Raises:
        UserError: the configuration has no such experiment, or no such setting.
    """
    composed = {name: _composed(*_line(claim, overrides)) for name, overrides in claim.cells.items()}
    free = _free_keys(claim)
    pinned = _pinned(claim, composed) - free
    found: dict[Hashable, dict[str, list[Run]]] = {}
    for run in runs:
        rest = repr(
            sorted((k, _plain(v)) for k, v in run.flat.items() if k not in pinned and not _is_free(run, k, free))
        )
        for name, flat in composed.items():
            if all(run.flat.get(key, _ABSENT) == flat.get(key, _ABSENT) for key in pinned):
                found.setdefault(rest, {}).setdefault(name, []).append(run)
    own = next(iter(composed.values()))
    whole = [
        Candidate(
            {name: tuple(held[name]) for name in composed},
            _setting(next(iter(held.values()))[0], pinned, free, own),
        )
        for held in found.values()
        if held.keys() == composed.keys()
    ]
    whole.sort(key=lambda c: (-c.n, len(c.setting), -len(c.runs)))
    return Selection(tuple(whole), "" if whole else _lacking(composed, found))


def commands(claim: Claim) -> list[str]:
    """What runs the cells of a claim: one sweep where they differ in one setting, else a sweep for each."""
    lines = {name: _line(claim, overrides) for name, overrides in claim.cells.items()}
    settings = [dict(part.split("=", 1) for part in line) for line in lines.values()]
    differ = [key for key in dict.fromkeys(k for s in settings for k in s) if len({s.get(key) for s in settings}) > 1]
    if len(differ) == 1 and all(differ[0] in s for s in settings):
        values = ",".join(dict.fromkeys(s[differ[0]] for s in settings))
        settings = [{**settings[0], differ[0]: values}]
    return [_command([f"{k}={v}" for k, v in s.items()], claim.seeds) for s in settings]


def _command(overrides: Sequence[str], seeds: Sequence[int]) -> str:
    parts = ["python", "-m", "collapse_lab", "-m", *overrides, f"seed={','.join(map(str, seeds))}"]
    return " ".join(map(shlex.quote, parts))


def _line(claim: Claim, overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """The overrides of a cell as on a command line."""
    experiment = overrides.get("experiment", claim.experiment)
    rest = {key: value for key, value in overrides.items() if key != "experiment"}
    return (f"+experiment={experiment}", *(f"{key}={_written(value)}" for key, value in rest.items()))


def _written(value: Any) -> str:
    """A value in Hydra's grammar, which reads flow-style yaml."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**6)).split("\n")[0]


@cache
def _composed(*line: str) -> dict[str, Any]:
    # Hydra is no part of what --help needs
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from collapse_lab.cli.app import CONF
    from collapse_lab.config.explain import explain
    from collapse_lab.config.schema import canonical

    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return flattened(canonical(compose("config", list(line))))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"a claim asks for {' '.join(line)}: {explain(error, CONF)}") from error


def _pinned(claim: Claim, composed: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The settings that make a run one of a cell: what overrides change, or name without changing it."""
    bases = [_composed(_line(claim, overrides)[0]) for overrides in claim.cells.values()]
    every = [*composed.values(), *bases]
    keys = {key for flat in every for key in flat}
    named = {key for overrides in claim.cells.values() for key in overrides}
    pinned = {key for key in keys if any(flat.get(key, _ABSENT) != every[0].get(key, _ABSENT) for flat in every)}
    pinned |= {key for key in keys if any(key == o or key.startswith(f"{o}.") for o in named)}
    return pinned | {"name"}


def _free_keys(claim: Claim) -> set[str]:
    """Seed and generations, and the settings that repeat them unless a run says otherwise."""
    given = [f"{key}={value}" for key, value in _FREE.items()]
    flats = [_composed(*_line(claim, overrides), *given) for overrides in claim.cells.values()]
    return {key for flat in flats for key, value in flat.items() if value in _FREE.values()}


def _is_free(run: Run, key: str, free: set[str]) -> bool:
    """Whether a setting says no more than which chain of a cell a run is."""
    return key in free and run.flat[key] == run.flat.get(key.rpartition(".")[2])


def _setting(run: Run, pinned: set[str], free: set[str], own: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run has otherwise than `own`, the settings of its experiment."""
    return tuple(
        f"{short(key)} {shown(value)} instead of {shown(own[key])}"
        for key, value in run.flat.items()
        if key in own and key not in pinned and not _is_free(run, key, free) and value != own[key]
    )


def _lacking(composed: Mapping[str, Any], found: Mapping[Hashable, Mapping[str, Sequence[Run]]]) -> str:
    missing = [name for name in composed if not any(name in held for held in found.values())]
    if missing:
        return f"no run of the cell{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    return "its cells were run, but with unlike settings"


def _plain(value: Any) -> str:
    """1 and 1.0 are the same setting."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
