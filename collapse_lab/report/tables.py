"""Tables of the runs: a line for each run with its final metrics, and the rows of each training set."""

from __future__ import annotations

from collapse_lab.report.export import packed
from collapse_lab.report.fields import Field, knob_fields, number_field, text_field
from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.series import evenly, final, floor, point, ranks
from collapse_lab.results.settings import title_of
from collapse_lab.types import Record

MOST_COLUMNS = 6
MOST_GENERATIONS = 12
MOST_ROWS = 3000
MOST_COUNTED = 100
MOST_RECORDS = 60


def counts(collection: Collection) -> Section:
    """Return the real and synthetic rows of each training set.

    Args:
        collection: The runs of the page.

    Returns:
        The section: of a single run a line for each generation, of a sweep a line for each configuration.
    """
    return _counts_of_run(collection.runs[0]) if len(collection.runs) == 1 else _counts_of_sweep(collection)


def runs(collection: Collection) -> Section:
    """Return a line for each run with its knobs, seed, status and final metrics, and the floor below.

    Args:
        collection: The runs of the page.

    Returns:
        The section.
    """
    names = [name for name in collection.names if name.is_key][:MOST_COLUMNS] or collection.names[:MOST_COLUMNS]
    knobs = [title_of(knob) for knob in collection.knobs]
    header = [*knobs, "seed", "status", "last generation", *map(_heading, names), "minutes", "run"]
    rows = [[*knob_fields(group.knobs), *_line(run, names)] for group in collection.seed_groups for run in group.runs]
    of_groups = zip(collection.seed_groups, ranks(collection), strict=True)
    floors = [floor(collection, name.key) for name in names]
    foot = [
        " | ".join(dict.fromkeys(name.floor_of[0] for name, span in zip(names, floors, strict=True) if span)),
        *[""] * (len(knobs) + 2),
        *(number(sum(span) / 2) if span else "" for span in floors),
        "",
        "",
    ]
    context = {
        "header": header,
        "rows": rows,
        "foot": foot if any(floors) else [],
        "lines": [rank for group, rank in of_groups for _ in group.runs],
        "csv": packed(collection),
    }
    note = "Metrics at the last generation of each run."
    if len(rows) > MOST_ROWS:
        context["rows"] = rows[:MOST_ROWS]
        note += f" The first {MOST_ROWS:,} of {len(rows):,} runs are listed; the CSV has all."
    return Section("Runs", "table.html.j2", context, note)


def _line(run: Run, names: list[Name]) -> list[Field]:
    minutes = sum(sum(record.seconds.values()) for record in run.records) / 60
    return [
        text_field("–" if run.seed is None else run.seed),
        text_field(run.status),
        number_field(run.last),
        *(number_field(point([run], name.key, final(run, name.key))[0]) for name in names),
        number_field(minutes),
        text_field(run.signature),
    ]


def _counts_of_run(run: Run) -> Section:
    records = [run.records[i] for i in evenly(len(run.records), MOST_RECORDS)]
    several_models = len({record.model for record in run.records}) > 1
    header = [
        "generation",
        *(["model"] if several_models else []),
        "real",
        "synthetic",
        "synthetic share",
        "status",
    ]
    rows = [
        [
            number_field(record.generation),
            *([text_field(record.model)] if several_models else []),
            *_count_fields(record),
            text_field(record.status),
        ]
        for record in records
    ]
    return Section("Training sets", "table.html.j2", {"header": header, "rows": rows, "foot": []})


def _counts_of_sweep(collection: Collection) -> Section:
    generations = evenly(collection.last + 1, MOST_GENERATIONS)
    listed = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_COUNTED)]
    rows = []
    for group in listed:
        by_generation = {record.generation: record.counts for record in reversed(group.runs[0].records)}
        fields = [text_field(_sum_text(by_generation.get(generation))) for generation in generations]
        rows.append([text_field(group.label or group.runs[0].name), *fields])
    header = ["configuration", *(f"generation {generation}" for generation in generations)]
    note = (
        "The number of rows that each generation was trained on, real + synthetic, for the first seed and the first "
        "model of each configuration."
    )
    if len(listed) < len(collection.seed_groups):
        note += f" {len(listed)} of {len(collection.seed_groups):,} configurations are listed; the CSV has all."
    return Section("Training sets", "table.html.j2", {"header": header, "rows": rows, "foot": []}, note)


def _count_fields(record: Record) -> list[Field]:
    real, synthetic = (record.counts.get(kind, 0) for kind in ("real", "synthetic"))
    share = synthetic / (real + synthetic) if real + synthetic else 0.0
    return [
        Field(f"{real:,}", real),
        Field(f"{synthetic:,}", synthetic),
        Field(f"{100 * share:.3g} %", share),
    ]


def _sum_text(counted: dict[str, int] | None) -> str:
    return "–" if counted is None else f"{counted.get('real', 0):,} + {counted.get('synthetic', 0):,}"


def _heading(name: Name) -> str:
    prompts = "" if name.subset == "all" else name.subset
    return " ".join(filter(None, (name.short, prompts, name.reference and f"against {name.reference}")))
