"""What was trained on and what came of it: counts, cells, and every number as CSV."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection, Run, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, final, floor, point
from collapse_lab.types import Record

MOST_COLUMNS = 6
MOST_GENERATIONS = 12


@dataclass(frozen=True)
class Field:
    """A table's cell: the text shown and the value that it sorts by."""

    text: str
    value: float | str
    numeric: bool = True


def _text(text: object) -> Field:
    return Field(str(text), str(text), numeric=False)


def _number(value: float) -> Field:
    return Field(number(value) if value == value else "–", value)


def counts(collection: Collection) -> Section:
    """Real and synthetic rows of each training set: a line per generation, in a sweep a line per cell."""
    if len(collection.runs) == 1:
        records = collection.runs[0].records
        models = len({r.model for r in records}) > 1
        header = [
            "generation",
            *(["model"] if models else []),
            "real",
            "synthetic",
            "synthetic share",
            "status",
        ]
        rows = [
            [_number(r.generation), *([_text(r.model)] if models else []), *_counted(r), _text(r.status)]
            for r in (records[i] for i in evenly(len(records), 60))
        ]
        return Section("Training sets", "table.html.j2", {"header": header, "rows": rows, "foot": []})
    at = evenly(collection.last + 1, MOST_GENERATIONS)
    rows = []
    for cell in collection.cells:
        found = {r.generation: r.counts for r in reversed(cell.runs[0].records)}
        pairs = [_text(_pair(found[g]) if g in found else "–") for g in at]
        rows.append([_text(cell.label or cell.runs[0].name), *pairs])
    header = ["cell", *(f"g {g}" for g in at)]
    note = "Rows that each generation was trained on, real + synthetic, of each cell's first seed and model."
    return Section("Training sets", "table.html.j2", {"header": header, "rows": rows, "foot": []}, note)


def cells(collection: Collection) -> Section:
    """One line per run: its knobs, seed, status and final metrics; the floor below."""
    chosen = [n for n in collection.names if n.is_key][:MOST_COLUMNS] or collection.names[:MOST_COLUMNS]
    knobs = [("experiment" if k == "name" else short(k)) for k in collection.knobs]
    header = [*knobs, "seed", "status", "last generation", *map(_heading, chosen), "minutes", "run"]
    rows = []
    for cell in collection.cells:
        for run in cell.runs:
            spent = sum(sum(r.seconds.values()) for r in run.records) / 60
            rows.append(
                [
                    *(Field(shown(v), v if isinstance(v, int | float) else str(v)) for v in cell.knobs.values()),
                    _text("–" if run.seed is None else run.seed),
                    _text(run.status),
                    _number(run.last),
                    *(_number(point([run], name.key, final(run, name.key))[0]) for name in chosen),
                    _number(spent),
                    _text(run.signature),
                ]
            )
    floors = [floor(collection, name.key) for name in chosen]
    foot = [
        "real vs real",
        *[""] * (len(knobs) + 2),
        *(number(sum(f) / 2) if f else "" for f in floors),
        "",
        "",
    ]
    context = {
        "header": header,
        "rows": rows,
        "foot": foot if any(floors) else [],
        "csv": csv_uri(collection),
    }
    return Section("Runs", "table.html.j2", context, "Metrics at the last generation of each run.")


def csv_uri(collection: Collection) -> str:
    """Every record of every run as a data: URI of comma-separated values, a column for each number."""
    rows = [_record(collection, run, record) for run in collection.runs for record in run.records]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return "data:text/csv;base64," + b64encode(buffer.getvalue().encode()).decode()


def _record(collection: Collection, run: Run, record: Record) -> dict[str, Any]:
    return {
        "experiment": run.name,
        "signature": run.signature,
        **{knob: run.flat.get(knob, "") for knob in collection.knobs if knob != "name"},
        "seed": run.seed,
        "generation": record.generation,
        "model": record.model,
        "status": record.status,
        **record.counts,
        **record.metrics,
        **{f"seconds_{phase}": spent for phase, spent in record.seconds.items()},
    }


def _counted(record: Record) -> list[Field]:
    real, synthetic = (record.counts.get(kind, 0) for kind in ("real", "synthetic"))
    share = synthetic / (real + synthetic) if real + synthetic else 0.0
    return [
        Field(f"{real:,}", real),
        Field(f"{synthetic:,}", synthetic),
        Field(f"{100 * share:.3g} %", share),
    ]


def _pair(found: dict[str, int]) -> str:
    return f"{found.get('real', 0):,} + {found.get('synthetic', 0):,}"


def _heading(name: Name) -> str:
    return " ".join(part for part in (name.short, name.where and name.subset) if part)
