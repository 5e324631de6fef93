"""What a sink shows of a whole run as tables: the ledger, the texts, and matrices of members by domains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collapse_lab.metrics.catalogue import KNOWING, SIMILARITY
from collapse_lab.results.names import Name, base_names
from collapse_lab.types import Record


@dataclass
class Table:
    """Hold a table: the names of its columns, and its rows, each as long as the columns."""

    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)


def flat(record: Record) -> dict[str, Any]:
    """Return a record as one flat row."""
    return {
        "generation": record.generation,
        "model": record.model,
        "status": record.status,
        **{f"counts/{kind}": n for kind, n in record.counts.items()},
        **record.metrics,
        **{f"seconds/{phase}": seconds for phase, seconds in record.seconds.items()},
    }


def ledger(records: Sequence[Record]) -> Table:
    """Return all numbers of a run, a row for each record."""
    numbers = [flat(record) for record in records]
    columns = list(dict.fromkeys(key for row in numbers for key in row))
    return Table(columns, [[row.get(column) for column in columns] for row in numbers])


def texts(folder: Path, records: Sequence[Record]) -> dict[str, Table]:
    """Return the examples of generated texts by prompt set, those of one prompt one below the other.

    Args:
        folder: the run's folder.
        records: its ledger; texts of generations that it does not have are left out.
    """
    tables: dict[str, Table] = {}
    for place in sorted((folder / "texts").glob("*/")):
        rows = []
        for record in records:
            path = place / f"{record.model}-g{record.generation:03d}.json"
            examples = json.loads(path.read_text())["examples"] if path.exists() else []
            rows += [[n, e["prompt"], record.model, record.generation, e["text"]] for n, e in enumerate(examples)]
        if rows:
            table = Table(["number", "prompt", "model", "generation", "text"], sorted(rows, key=lambda row: row[0]))
            tables[place.name] = table
    return tables


def matrices(records: Sequence[Record]) -> dict[str, Table]:
    """Return what the members of a population know of each domain, and how alike they are.

    Args:
        records: the ledger of a run.

    Returns:
        A table for each quantity: a row for each generation and model, a column for each domain or other member. It is
        empty for a run of one model.
    """
    members = list(dict.fromkeys(record.model for record in records))
    if len(members) < 2:
        return {}
    known: dict[str, dict[str, Name]] = {}
    alike: dict[str, dict[str, Name]] = {}
    for name in base_names({key for record in records for key in record.metrics}):
        if name.metric in KNOWING:
            known.setdefault("/".join(filter(None, (name.features, name.metric))), {})[name.subset] = name
        elif name.metric.startswith(SIMILARITY):
            title = "/".join(filter(None, (name.subset, name.features, SIMILARITY.rstrip("_"))))
            alike.setdefault(title, {})[name.metric.removeprefix(SIMILARITY)] = name
    tables = {title: _knowledge(records, columns) for title, columns in known.items() if len(columns) > 1}
    return tables | {title: _likeness(records, members, names) for title, names in alike.items()}


def _knowledge(records: Sequence[Record], domains: Mapping[str, Name]) -> Table:
    rows = [[r.generation, r.model, *(r.metrics.get(name.key) for name in domains.values())] for r in records]
    return Table(["generation", "model", *domains], rows)


def _likeness(records: Sequence[Record], members: Sequence[str], others: Mapping[str, Name]) -> Table:
    """Return how alike each member is to each other one.

    Because a pair is measured once, on the line of the later member, its number is put in both rows.
    """
    pairs: dict[tuple[int, str, str], float] = {}
    for record in records:
        for other, name in others.items():
            if name.key in record.metrics:
                value = record.metrics[name.key]
                pairs[record.generation, record.model, other] = pairs[record.generation, other, record.model] = value
    rows = [[r.generation, r.model, *(pairs.get((r.generation, r.model, m)) for m in members)] for r in records]
    return Table(["generation", "model", *members], rows)
