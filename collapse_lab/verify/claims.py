"""Claims, read from their files and checked.

A claim says what was claimed and how to test it, never whether it holds.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.config.binding import check_type
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.verify import statistics
from collapse_lab.verify.measured import Needed
from collapse_lab.verify.statistics import GroupName, MetricName

FOLDER = Path(__file__).resolve().parent / "claims"
# Where our knowledge of a claim comes from, the most reliable source first.
SOURCES = (
    "the paper's text",
    "the paper's supplement",
    "the authors' released code",
    "an independent replication",
    "a reading note",
    "the paper's public reviews",
    "summaries and surveys",
    "recalled, not verified",
    "derived here",
)
_PAPER = ("title", "seeds", "claims")
_CLAIM = ("id", "claim", "source", "known_from", "experiment", "groups", "statistic", "arguments", "needed", "size")
_NEEDED = ("at_least", "at_most", "between")


@dataclass(frozen=True)
class Claim:
    """Hold one claim of one paper.

    Attributes:
        paper: The stem of the claim's file.
        title: The title of the paper.
        id: The claim's name within its file.
        claim: What is claimed, in one sentence.
        source: Where the paper says it.
        known_from: Where we have it from, each one of SOURCES.
        experiment: The experiment that tests it.
        groups: The overrides of `experiment` that make each group of runs, by the group's name. The key `experiment`
            among them names another experiment.
        statistic: The name of the statistic that is measured.
        arguments: The arguments of the statistic.
        needed: The range of the statistic in which the claim is true.
        size: Where the ends of `needed` come from, in words.
        seeds: The seeds of the commands that run it.
    """

    paper: str
    title: str
    id: str
    claim: str
    source: str
    known_from: tuple[str, ...]
    experiment: str
    groups: Mapping[str, Mapping[str, Any]]
    statistic: str
    arguments: Mapping[str, Any]
    needed: Needed
    size: str
    seeds: tuple[int, ...]

    @property
    def metrics(self) -> list[str]:
        """Return the ledger names that the statistic reads."""
        hints = typing.get_type_hints(statistics.known()[self.statistic])
        return [str(value) for name, value in self.arguments.items() if hints[name] is MetricName]


def shipped() -> list[Path]:
    """Return the claims files of this package."""
    return sorted(FOLDER.glob("*.yaml"))


def read(path: Path) -> list[Claim]:
    """Return the claims of one file.

    Raises:
        UserError: The file is missing or is not yaml, or a key is missing, unknown or of the wrong form.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"the claims file '{path}' cannot be read: {' '.join(str(error).split())}") from error
    _check_keys(content, _PAPER, path.name)
    if not isinstance(content["claims"], list) or not content["claims"]:
        raise UserError(f"{path.name}: 'claims' should be a list of claims, and not empty")
    _check_seeds(content["seeds"], path.name)
    claims = [_claim(entry, content, path) for entry in content["claims"]]
    repeated = {claim.id for claim in claims if sum(other.id == claim.id for other in claims) > 1}
    if repeated:
        raise UserError(f"{path.name}: two claims have the id '{min(repeated)}'; give each claim an id of its own")
    return claims


def _claim(entry: Any, paper: Mapping[str, Any], path: Path) -> Claim:
    name = entry.get("id", "a claim") if isinstance(entry, dict) else "a claim"
    where = f"{path.name}, {name}"
    _check_keys(entry, _CLAIM, where)
    for key in ("id", "claim", "source", "experiment", "statistic", "size"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise UserError(f"{where}: '{key}' should be a text; got {entry[key]!r}")
    known_from = tuple(entry["known_from"]) if isinstance(entry["known_from"], list) else (entry["known_from"],)
    for source in known_from:
        if source not in SOURCES:
            raise UserError(
                f"{where}: known_from '{source}' is not a known kind of source; {did_you_mean(str(source), SOURCES)}"
            )
    groups = entry["groups"]
    if not isinstance(groups, dict) or not groups or not all(isinstance(o, dict) for o in groups.values()):
        raise UserError(f"{where}: 'groups' should name each group, with a mapping of overrides; got {groups!r}")
    _check_arguments(entry["statistic"], entry["arguments"], groups, where)
    return Claim(
        paper=path.stem,
        title=str(paper["title"]),
        id=entry["id"],
        claim=entry["claim"],
        source=entry["source"],
        known_from=known_from,
        experiment=entry["experiment"],
        groups=groups,
        statistic=entry["statistic"],
        arguments=entry["arguments"],
        needed=_needed(entry["needed"], where),
        size=entry["size"],
        seeds=tuple(paper["seeds"]),
    )


def _check_keys(entry: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise UserError(f"{where} should be a mapping with {', '.join(known)}; got {type(entry).__name__}")
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), known)}")
    missing = [key for key in known if key not in entry]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def _check_seeds(seeds: Any, where: str) -> None:
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{where}: 'seeds' should be a list of whole numbers; got {seeds!r}")


def _check_arguments(statistic: str, arguments: Any, groups: Mapping[str, Any], where: str) -> None:
    known = statistics.known()
    if statistic not in known:
        raise UserError(f"{where}: there is no statistic '{statistic}'; {did_you_mean(statistic, known)}")
    _, *signature = inspect.signature(known[statistic]).parameters.items()  # the first parameter takes the groups
    parameters = dict(signature)
    hints = typing.get_type_hints(known[statistic])
    if not isinstance(arguments, dict):
        raise UserError(f"{where}: 'arguments' should be a mapping; {statistic} takes {', '.join(parameters)}")
    for name, value in arguments.items():
        if name not in parameters:
            raise UserError(f"{where}: {statistic} has no argument '{name}'; {did_you_mean(str(name), parameters)}")
        if hints[name] is GroupName and value not in groups:
            raise UserError(f"{where}: {name} '{value}' is not one of its groups; {did_you_mean(str(value), groups)}")
        if hints[name] is MetricName:
            _check_metric(value, f"{where}: {name}")
        elif hints[name] is not GroupName:
            check_type(f"{where}: {name}", value, hints[name])
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in arguments]
    if missing:
        raise UserError(f"{where}: {statistic} needs {', '.join(missing)}")


def _check_metric(value: Any, where: str) -> None:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"{where} should be <subset>/<features>/<metric> or <subset>/<probe>; got {value!r}")


def _needed(needed: Any, where: str) -> Needed:
    """Return the range of `at_least: x`, `at_most: x` or `between: [x, y]`."""
    kind, value = next(iter(needed.items())) if isinstance(needed, dict) and len(needed) == 1 else (None, None)
    ends = value if isinstance(value, list) else [value]
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if kind not in _NEEDED or not numbers or len(ends) != (2 if kind == "between" else 1) or ends != sorted(ends):
        raise UserError(f"{where}: 'needed' should be one of at_least: x, at_most: x, between: [x, y]; got {needed!r}")
    return {
        "at_least": lambda: Needed(low=float(ends[0])),
        "at_most": lambda: Needed(high=float(ends[0])),
        "between": lambda: Needed(*map(float, ends)),
    }[kind]()
