"""Claims, read from their files and checked.

A claim says what was claimed and how to test it, never whether it holds.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.verify import statistics
from collapse_lab.verify.checks import check_keys, check_needed, check_seeds, check_test
from collapse_lab.verify.measured import Needed
from collapse_lab.verify.statistics import MetricName

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
_TEST = ("statistic", "arguments", "needed")
_CLAIM = ("id", "claim", "source", "known_from", "experiment", "groups", *_TEST, "size")
_OPTIONAL = ("setting", "condition", "seeds", "post_hoc")


@dataclass(frozen=True)
class Test:
    """Hold what is measured and the range in which it has to lie.

    Attributes:
        statistic: The name of the statistic that is measured.
        arguments: The arguments of the statistic.
        needed: The range of the statistic.
    """

    __test__ = False  # because pytest would take the class for a group of tests

    statistic: str
    arguments: Mapping[str, Any]
    needed: Needed

    @property
    def metrics(self) -> list[str]:
        """Return the ledger names that the statistic reads."""
        hints = typing.get_type_hints(statistics.known()[self.statistic])
        return [str(value) for name, value in self.arguments.items() if hints[name] is MetricName]


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
        setting: The overrides of `experiment` that all groups share, such as the data set and the size. Runs at
            another setting are shown beside the verdict and never decide it.
        groups: The overrides that make each group of runs what it is, by the group's name. The key `experiment` among
            them names another experiment.
        test: What is measured, and the range in which the claim is true.
        condition: What has to hold for the claim to mean anything, such as that the control is not harmed; or None.
        size: Where the ends of the range come from, in words.
        seeds: The seeds of the commands that run it.
        post_hoc: Whether the claim was written after the first runs that judge it had been seen.
    """

    paper: str
    title: str
    id: str
    claim: str
    source: str
    known_from: tuple[str, ...]
    experiment: str
    setting: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]]
    test: Test
    condition: Test | None
    size: str
    seeds: tuple[int, ...]
    post_hoc: bool = False

    @property
    def tests(self) -> Iterator[Test]:
        """Return the test of the claim, then its condition where it has one."""
        yield self.test
        if self.condition is not None:
            yield self.condition


def shipped() -> list[Path]:
    """Return the claims files of this package."""
    return sorted(FOLDER.glob("*.yaml"))


def read(path: Path) -> list[Claim]:
    """Return the claims of one file.

    Raises:
        UserError: The file is missing or is not yaml, or a key is missing, unknown or of the wrong form.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"the claims file '{path}' cannot be read: {' '.join(str(error).split())}") from error
    check_keys(content, _PAPER, path.name)
    if not isinstance(content["claims"], list) or not content["claims"]:
        raise UserError(f"{path.name}: 'claims' should be a list of claims, and not empty")
    check_seeds(content["seeds"], path.name)
    claims = [_claim(entry, content, path) for entry in content["claims"]]
    repeated = {claim.id for claim in claims if sum(other.id == claim.id for other in claims) > 1}
    if repeated:
        raise UserError(f"{path.name}: two claims have the id '{min(repeated)}'; give each claim an id of its own")
    return claims


def _claim(entry: Any, paper: Mapping[str, Any], path: Path) -> Claim:
    name = entry.get("id", "a claim") if isinstance(entry, dict) else "a claim"
    where = f"{path.name}, {name}"
    check_keys(entry, _CLAIM, where, _OPTIONAL)
    for key in ("id", "claim", "source", "experiment", "statistic", "size"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise UserError(f"{where}: '{key}' should be a text; got {entry[key]!r}")
    known_from = tuple(entry["known_from"]) if isinstance(entry["known_from"], list) else (entry["known_from"],)
    for source in known_from:
        if source not in SOURCES:
            raise UserError(
                f"{where}: known_from '{source}' is not a known kind of source; {did_you_mean(str(source), SOURCES)}"
            )
    groups, setting = entry["groups"], entry.get("setting", {})
    if not isinstance(groups, dict) or not groups or not all(isinstance(o, dict) for o in groups.values()):
        raise UserError(f"{where}: 'groups' should name each group, with a mapping of overrides; got {groups!r}")
    if not isinstance(setting, dict):
        raise UserError(f"{where}: 'setting' should be a mapping of the overrides of all groups; got {setting!r}")
    seeds = entry.get("seeds", paper["seeds"])
    check_seeds(seeds, where)
    post_hoc = entry.get("post_hoc", False)
    if not isinstance(post_hoc, bool):
        raise UserError(f"{where}: 'post_hoc' should be true or false; got {post_hoc!r}")
    return Claim(
        paper=path.stem,
        title=str(paper["title"]),
        id=entry["id"],
        claim=entry["claim"],
        source=entry["source"],
        known_from=known_from,
        experiment=entry["experiment"],
        setting=setting,
        groups=groups,
        test=_test({key: entry[key] for key in _TEST}, groups, where),
        condition=_test(entry["condition"], groups, f"{where}, condition") if "condition" in entry else None,
        size=entry["size"],
        seeds=tuple(seeds),
        post_hoc=post_hoc,
    )


def _test(entry: Any, groups: Mapping[str, Any], where: str) -> Test:
    check_keys(entry, _TEST, where)
    check_test(entry["statistic"], entry["arguments"], groups, where)
    return Test(entry["statistic"], entry["arguments"], check_needed(entry["needed"], where))
