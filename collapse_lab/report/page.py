"""The page: for each group of comparable runs a headline and its sections, as one file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.report import (
    chains,
    classes,
    configuration,
    curves,
    differences,
    dose,
    grids,
    perplexities,
    phase,
    tables,
)
from collapse_lab.report.section import Section, environment
from collapse_lab.report.style import twins
from collapse_lab.report.summary import headline, scope
from collapse_lab.results.collect import Collection, gathered
from collapse_lab.results.comparable import between, groups

SECTIONS: tuple[Callable[[Collection], Section | None], ...] = (
    curves.first_section,
    dose.section,
    differences.section,
    chains.thresholds,
    phase.section,
    grids.section,
    classes.section,
    perplexities.section,
    curves.key_section,
    curves.other_section,
    tables.cells,
    chains.section,
    differences.table,
    tables.counts,
    configuration.settings,
    configuration.provenance,
)


@dataclass(frozen=True)
class Part:
    """What the page says of one group of comparable runs; `unlike` is what sets it apart from the first group."""

    collection: Collection
    sections: Sequence[Section]
    unlike: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Its experiments, and how many runs."""
        n = len(self.collection.runs)
        return f"{' and '.join(self.collection.experiments)}, {n:,} run{'' if n == 1 else 's'}"


def compose(collection: Collection, knobs: Sequence[str] = ()) -> list[Part]:
    """The page's parts: nothing is drawn across runs that must not be compared.

    Args:
        collection: all runs.
        knobs: the two axes of the phase diagram; chosen from what was swept where empty.

    Raises:
        UserError: `knobs` are not two settings that were swept in some part.
    """
    kept = groups(collection.runs)
    collections = [collection] if len(kept) == 1 else [gathered(runs) for runs in kept]
    asked = [one for one in collections if knobs and phase.has(one, knobs)]
    if knobs and not asked:
        phase.named(collections[0], knobs)
    return [
        Part(one, _sections(one, knobs if one in asked else ()), between(kept[0], runs) if runs is not kept[0] else ())
        for one, runs in zip(collections, kept, strict=True)
    ]


def write_page(parts: Sequence[Part], out: Path) -> Path:
    """Writes the page to `out`, and returns `out`.

    Raises:
        UserError: `out` cannot be written.
    """
    page = render(parts)
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


def write_figures(parts: Sequence[Part], folder: Path) -> list[Path]:
    """Writes every plot of the page to `folder` as SVG and as PDF, and returns their paths.

    Raises:
        UserError: `folder` cannot be written to.
    """
    written = []
    try:
        for i, part in enumerate(parts, start=1):
            inner = folder / f"group-{i}" if len(parts) > 1 else folder
            inner.mkdir(parents=True, exist_ok=True)
            for plot in (plot for section in part.sections for plot in section.plots):
                written += [inner / f"{plot.stem}.svg", inner / f"{plot.stem}.pdf"]
                written[-2].write_text(plot.svg, encoding="utf-8")
                written[-1].write_bytes(plot.pdf)
    except OSError as error:
        raise UserError(f"the figures cannot be written to '{folder}': {error.strerror}") from error
    return written


def render(parts: Sequence[Part]) -> str:
    """The page as text."""
    shown = [_shown(part) for part in parts]
    bodies = "".join(body for told in shown for _, body in told["sections"])
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=" and ".join(sorted({name for part in parts for name in part.collection.experiments})),
            parts=shown,
            warnings=[warning for part in parts for warning in part.collection.warnings],
            inks=twins(bodies),
        )
    )


def _shown(part: Part) -> dict[str, Any]:
    nothing = "Nothing to compare yet." if part.collection.names else "No metric was measured."
    first, *others = headline(part.collection) or [nothing]
    return {
        "title": part.title,
        "first": first,
        "others": others,
        "scope": scope(part.collection),
        "sections": [(section, section.body) for section in part.sections],
        "unlike": part.unlike,
    }


def _sections(collection: Collection, knobs: Sequence[str]) -> list[Section]:
    made = (phase.section(collection, knobs) if make is phase.section else make(collection) for make in SECTIONS)
    return [section for section in made if section is not None]
