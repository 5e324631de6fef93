"""Claims read from their files and checked: a claim says what was claimed and how to tell, never whether it holds."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.config.schema import check_type
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.verify import statistics
from collapse_lab.verify.measured import Needed
from collapse_lab.verify.statistics import CellName, MetricName

FOLDER = Path(__file__).resolve().parent / "claims"
# Where what is known of a paper comes from, surest first.
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
_CLAIM = ("id", "claim", "source", "known_from", "experiment", "cells", "statistic", "arguments", "needed", "size")
_NEEDED = ("at_least", "at_most", "between")


@dataclass(frozen=True)
class Claim:
    """One claim of one paper.

    paper: the stem of its file, and title: the paper's own.
    source: where it stands; known_from: where we have it from, each one of SOURCES.
    cells: by name, the overrides of `experiment` that make them; the key `experiment` in one names another.
    size: where the ends of `needed` come from, in words.
    """

    paper: str
    title: str
    id: str
    claim: str
    source: str
    known_from: tuple[str, ...]
    experiment: str
    cells: Mapping[str, Mapping[str, Any]]
    statistic: str
    arguments: Mapping[str, Any]
    needed: Needed
    size: str
    seeds: tuple[int, ...]

    @property
    def metrics(self) -> list[str]:
        """The ledger names that the statistic reads."""
        hints = typing.get_type_hints(statistics.known()[self.statistic])
        return [str(value) for name, value in self.arguments.items() if hints[name] is MetricName]


def shipped() -> list[Path]:
    """The claims files of this package."""
    return sorted(FOLDER.glob("*.yaml"))


def read(path: Path) -> list[Claim]:
    """The claims of one file.

    Raises:
        UserError: it is missing, is no yaml, or a key is missing, unknown or of the wrong form.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"the claims file '{path}' cannot be read: {' '.join(str(error).split())}") from error
    _check_keys(given, _PAPER, path.name)
    if not isinstance(given["claims"], list) or not given["claims"]:
        raise UserError(f"{path.name}: 'claims' should be a list of claims, and not empty")
    _check_seeds(given["seeds"], path.name)
    found = [_claim(item, given, path) for item in given["claims"]]
    twice = {claim.id for claim in found if sum(other.id == claim.id for other in found) > 1}
    if twice:
        raise UserError(f"{path.name}: two claims have the id '{min(twice)}'")
    return found


def _claim(given: Any, paper: Mapping[str, Any], path: Path) -> Claim:
    name = given.get("id", "a claim") if isinstance(given, dict) else "a claim"
    where = f"{path.name}, {name}"
    _check_keys(given, _CLAIM, where)
    for key in ("id", "claim", "source", "experiment", "statistic", "size"):
        if not isinstance(given[key], str) or not given[key].strip():
            raise UserError(f"{where}: '{key}' should be a text; got {given[key]!r}")
    known_from = tuple(given["known_from"]) if isinstance(given["known_from"], list) else (given["known_from"],)
    for source in known_from:
        if source not in SOURCES:
            raise UserError(
                f"{where}: known_from '{source}' is no kind of source; {did_you_mean(str(source), SOURCES)}"
            )
    cells = given["cells"]
    if not isinstance(cells, dict) or not cells or not all(isinstance(o, dict) for o in cells.values()):
        raise UserError(f"{where}: 'cells' should name each cell, with a mapping of overrides; got {cells!r}")
    _check_arguments(given["statistic"], given["arguments"], cells, where)
    return Claim(
        paper=path.stem,
        title=str(paper["title"]),
        id=given["id"],
        claim=given["claim"],
        source=given["source"],
        known_from=known_from,
        experiment=given["experiment"],
        cells=cells,
        statistic=given["statistic"],
        arguments=given["arguments"],
        needed=_needed(given["needed"], where),
        size=given["size"],
        seeds=tuple(paper["seeds"]),
    )


def _check_keys(given: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{where} should be a mapping with {', '.join(known)}; got {type(given).__name__}")
    for key in given:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), known)}")
    missing = [key for key in known if key not in given]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def _check_seeds(seeds: Any, where: str) -> None:
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{where}: 'seeds' should be a list of whole numbers; got {seeds!r}")


def _check_arguments(statistic: str, given: Any, cells: Mapping[str, Any], where: str) -> None:
    known = statistics.known()
    if statistic not in known:
        raise UserError(f"{where}: there is no statistic '{statistic}'; {did_you_mean(statistic, known)}")
    parameters = dict(list(inspect.signature(known[statistic]).parameters.items())[1:])  # the first are the cells
    hints = typing.get_type_hints(known[statistic])
    if not isinstance(given, dict):
        raise UserError(f"{where}: 'arguments' should be a mapping; {statistic} takes {', '.join(parameters)}")
    for name, value in given.items():
        if name not in parameters:
            raise UserError(f"{where}: {statistic} has no argument '{name}'; {did_you_mean(str(name), parameters)}")
        if hints[name] is CellName and value not in cells:
            raise UserError(f"{where}: {name} '{value}' is none of its cells; {did_you_mean(str(value), cells)}")
        if hints[name] is MetricName:
            _check_metric(value, f"{where}: {name}")
        elif hints[name] is not CellName:
            check_type(f"{where}: {name}", value, hints[name])
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in given]
    if missing:
        raise UserError(f"{where}: {statistic} needs {', '.join(missing)}")


def _check_metric(value: Any, where: str) -> None:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"{where} should be <subset>/<features>/<metric> or <subset>/<probe>; got {value!r}")


def _needed(given: Any, where: str) -> Needed:
    """From `at_least: x`, `at_most: x` or `between: [x, y]`."""
    kind, value = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else (None, None)
    ends = value if isinstance(value, list) else [value]
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if kind not in _NEEDED or not numbers or len(ends) != (2 if kind == "between" else 1) or ends != sorted(ends):
        raise UserError(f"{where}: 'needed' should be one of at_least: x, at_most: x, between: [x, y]; got {given!r}")
    return {
        "at_least": lambda: Needed(low=float(ends[0])),
        "at_most": lambda: Needed(high=float(ends[0])),
        "between": lambda: Needed(*map(float, ends)),
    }[kind]()
