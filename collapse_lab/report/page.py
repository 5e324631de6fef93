"""The page: a headline and its sections, as one file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from collapse_lab.errors import UserError
from collapse_lab.report import configuration, curves, dose, grids, tables
from collapse_lab.report.section import Section, environment
from collapse_lab.report.summary import headline, scope
from collapse_lab.results.collect import Collection, collect

SECTIONS: tuple[Callable[[Collection], Section | None], ...] = (
    curves.first_section,
    dose.section,
    grids.section,
    curves.key_section,
    curves.other_section,
    tables.cells,
    tables.counts,
    configuration.settings,
    configuration.provenance,
)


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Writes one self-contained page about the runs at or below `runs` to `out`, and returns `out`.

    Raises:
        UserError: a path is missing, a ledger is corrupt, no run has a record, or `out` cannot be written.
    """
    page = render(collect(runs))
    out = Path(out)
    # Written beside it and renamed, so that a reader never meets half a page.
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise UserError(f"the report cannot be written to '{out}': {error.strerror}") from error
    return out


def render(collection: Collection) -> str:
    """The page as text."""
    drawn = [part for make in SECTIONS if (part := make(collection)) is not None]
    bodies = [(part, Markup(environment().get_template(part.template).render(part.context))) for part in drawn]
    first, *others = headline(collection) or ["No metric was measured."]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=" and ".join(collection.experiments),
            first=first,
            others=others,
            scope=scope(collection),
            warnings=collection.warnings,
            sections=bodies,
            inks={"s": curves.colours(collection), "d": dose.inks_needed(collection)},
        )
    )
