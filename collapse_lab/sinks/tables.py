"""What a sink shows of a whole run as tables: the ledger, the texts, and matrices of members by domains."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    if len({record.model for record in records}) < 2:
        return {}
    names = base_names({key for record in records for key in record.metrics})
    found: dict[str, dict[str, Name]] = {}
    for name in names:
        if name.metric in KNOWING:
            found.setdefault("/".join(filter(None, (name.features, name.metric))), {})[name.subset] = name
        elif name.metric.startswith(SIMILARITY):
            title = "/".join(filter(None, (name.subset, name.features, SIMILARITY.rstrip("_"))))
            found.setdefault(title, {})[name.metric.removeprefix(SIMILARITY)] = name
    tables = {}
    for title, columns in found.items():
        rows = [[r.generation, r.model, *(r.metrics.get(name.key) for name in columns.values())] for r in records]
        if len(columns) > 1:
            tables[title] = Table(["generation", "model", *columns], rows)
    return tables
