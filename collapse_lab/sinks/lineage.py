"""The lineage of generations: a fit, its samples, the next fit, each with what it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from collapse_lab.types import Record, RunInfo


@dataclass(frozen=True)
class Node:
    """Hold one stage of a lineage.

    Attributes:
        name: equal for the same stage of all generations, so that these are its versions.
        kind: `fit` or `sample`, as the store calls it.
        key: the stage's key in the store.
        alias: the version of the generation, such as `g3`.
        metadata: what it is, and what it was made from: `made_from` lists `name:alias`.
    """

    name: str
    kind: Literal["fit", "sample"]
    key: str
    alias: str
    metadata: dict[str, Any]


def nodes(run: RunInfo, record: Record, before: Sequence[Record]) -> list[Node]:
    """Return the fit and the samples of one line of the ledger.

    A fit is made from the samples of the generation before, of the members that its training set has rows of, and a
    sample from its fit. Policies that keep older rows train on those too; the stages behind them are their ancestors.

    Args:
        run: the run.
        record: the line.
        before: the lines of the generation before.
    """
    signature, config = run.signature, run.config
    if "fit" not in record.keys:
        return []
    alias = f"g{record.generation}"
    fit = _name(signature, record.model, "fit")
    fed = [other for other in before if _feeds(other, record)]
    made_from = [
        f"{_name(signature, other.model, 'samples', subset)}:g{other.generation}"
        for other in fed
        for subset in other.keys.get("sample", {})
        if subset == _retrained(config, other.model)
    ]
    common = {"generation": record.generation, "model": record.model, "run": signature}
    facts = {**common, "counts": dict(record.counts), "status": record.status, "seconds": record.seconds.get("fit")}
    found = [Node(fit, "fit", record.keys["fit"], alias, {**facts, "made_from": made_from})]
    for subset, key in record.keys.get("sample", {}).items():
        name = _name(signature, record.model, "samples", subset)
        found.append(Node(name, "sample", key, alias, {**common, "prompts": subset, "made_from": [f"{fit}:{alias}"]}))
    return found


def _retrained(config: Mapping[str, Any], member: str) -> str | None:
    """Return the prompt set whose samples of a member enter the pool."""
    generates = (config.get("population") or {}).get("generates") or {}
    return generates.get(member, (config.get("prompts") or {}).get("retrain"))


def _feeds(other: Record, record: Record) -> bool:
    """Return whether a training set has rows of another line's model."""
    by_source = {name.removeprefix("from_"): n for name, n in record.counts.items() if name.startswith("from_")}
    if by_source:
        return by_source.get(other.model, 0) > 0
    return other.model == record.model and record.counts.get("synthetic", 0) > 0


def _name(*parts: str) -> str:
    return re.sub(r"[^\w.-]", "_", "-".join(parts))
