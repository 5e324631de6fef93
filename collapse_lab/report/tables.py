"""What was trained on and what came of it: a line per run, and the rows of each training set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from collapse_lab.report.export import packed
from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, final, floor, point
from collapse_lab.types import Record

MOST_COLUMNS = 6
MOST_GENERATIONS = 12
MOST_ROWS = 3000
MOST_COUNTED = 100


@dataclass(frozen=True)
class Field:
    """A table's cell: the text shown and the value that it sorts by."""

    text: str
    value: float | str
    numeric: bool = True

    @property
    def sorts_by(self) -> str:
        """The value where the text does not say it; "" where it does."""
        if isinstance(self.value, str):
            return "" if self.value == self.text else self.value
        if math.isnan(self.value):
            return ""
        # As a browser spells it: "never" sorts after every number.
        told = f"{self.value:.6g}".replace("inf", "Infinity")
        return "" if told == self.text else told


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
    listed = [collection.cells[i] for i in evenly(len(collection.cells), MOST_COUNTED)]
    for cell in listed:
        found = {r.generation: r.counts for r in reversed(cell.runs[0].records)}
        pairs = [_text(_pair(found[g]) if g in found else "–") for g in at]
        rows.append([_text(cell.label or cell.runs[0].name), *pairs])
    header = ["cell", *(f"g {g}" for g in at)]
    note = "Rows that each generation was trained on, real + synthetic, of each cell's first seed and model."
    if len(listed) < len(collection.cells):
        note += f" {len(listed)} of {len(collection.cells):,} cells are listed; the CSV has all."
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
        "csv": packed(collection),
    }
    note = "Metrics at the last generation of each run."
    if len(rows) > MOST_ROWS:
        context["rows"] = rows[:MOST_ROWS]
        note += f" The first {MOST_ROWS:,} of {len(rows):,} runs are listed; the CSV has all."
    return Section("Runs", "table.html.j2", context, note)


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
