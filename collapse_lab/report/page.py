"""The page: a headline and sections for each group of comparable runs, as one file that needs no other file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.report import (
    classes,
    collapse_tables,
    configuration,
    curves,
    differences,
    dose,
    exchange,
    flow,
    grids,
    members,
    perplexities,
    phase,
    tables,
    texts,
    vanishing,
)
from collapse_lab.report.section import Section, environment
from collapse_lab.report.style import used_inks
from collapse_lab.report.summary import headline, scope, seeds_in_short, settings_in_short
from collapse_lab.results.collect import Collection, gathered
from collapse_lab.results.comparable import comparable_groups, group_differences
from collapse_lab.results.run import Run
from collapse_lab.results.settings import joined
from collapse_lab.storage.files import write_whole

SECTIONS: tuple[Callable[[Collection], Section | None], ...] = (
    curves.first_section,
    dose.section,
    differences.section,
    collapse_tables.thresholds,
    phase.section,
    exchange.section,
    members.section,
    flow.section,
    grids.section,
    texts.examples,
    classes.section,
    classes.section_of_groups,
    vanishing.section,
    perplexities.section,
    texts.histograms,
    curves.key_section,
    curves.other_section,
    tables.runs,
    collapse_tables.section,
    differences.table,
    tables.counts,
    configuration.settings,
    configuration.provenance,
)


@dataclass(frozen=True)
class ComparableGroup:
    """Hold what the page shows of one group of comparable runs.

    Attributes:
        collection: The runs of the group.
        sections: The sections of the group, in the order of the page.
        unlike_first: What differs from the features of the first group, one sentence each; empty for the first group.
    """

    collection: Collection
    sections: Sequence[Section]
    unlike_first: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Return the experiments and the number of runs as text."""
        n = len(self.collection.runs)
        return f"{joined(self.collection.experiments)}, {n:,} run{'' if n == 1 else 's'}"


def compose(collection: Collection, knobs: Sequence[str] = ()) -> list[ComparableGroup]:
    """Make the sections of each group of comparable runs; nothing is drawn across two groups.

    Args:
        collection: All runs.
        knobs: The two axes of the phase diagram, across and up; where empty, they are chosen from what was swept.

    Returns:
        The groups, in the order of the page.

    Raises:
        UserError: `knobs` are not two settings that were swept in some group.
    """
    runs_of_groups = comparable_groups(collection.runs)
    first = runs_of_groups[0]
    collections = [collection] if len(runs_of_groups) == 1 else _of_groups(runs_of_groups, collection)
    with_knobs = [one for one in collections if knobs and phase.has(one, knobs)]
    if knobs and not with_knobs:
        phase.named(collections[0], knobs)  # raises the error that says what is wrong with the knobs
    return [
        ComparableGroup(
            one,
            _sections(one, knobs if one in with_knobs else ()),
            group_differences(runs, first) if runs is not first else (),
        )
        for one, runs in zip(collections, runs_of_groups, strict=True)
    ]


def write_page(groups: Sequence[ComparableGroup], out: Path) -> Path:
    """Write the page.

    Args:
        groups: The groups of the page.
        out: The file of the page.

    Returns:
        `out`.

    Raises:
        UserError: `out` cannot be written.
    """
    page = render(groups)
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, page)
    except OSError as error:
        raise UserError(f"the report cannot be written to '{out}': {error.strerror}") from error
    return out


def write_figures(groups: Sequence[ComparableGroup], folder: Path) -> list[Path]:
    """Write every plot of the page as SVG and as PDF.

    Args:
        groups: The groups of the page.
        folder: The folder to write to. Several groups get the folders group-1, group-2, … in it.

    Returns:
        The files.

    Raises:
        UserError: `folder` cannot be written to.
    """
    written = []
    try:
        for i, group in enumerate(groups, start=1):
            group_folder = folder / f"group-{i}" if len(groups) > 1 else folder
            group_folder.mkdir(parents=True, exist_ok=True)
            for plot in (plot for section in group.sections for plot in section.plots):
                svg, pdf = group_folder / f"{plot.stem}.svg", group_folder / f"{plot.stem}.pdf"
                svg.write_text(plot.svg, encoding="utf-8")
                pdf.write_bytes(plot.pdf)
                written += [svg, pdf]
    except OSError as error:
        raise UserError(f"the figures cannot be written to '{folder}': {error.strerror}") from error
    return written


def render(groups: Sequence[ComparableGroup]) -> str:
    """Return the page as HTML."""
    contexts = [_context(group) for group in groups]
    told = [seeds_in_short(group.collection) for group in groups]
    for i, context in enumerate(contexts):
        context["seeds"] = "" if told[i] in told[:i] else told[i]  # because the page says it once
    bodies = "".join(body for context in contexts for _, body in context["sections"])
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=joined(sorted({name for group in groups for name in group.collection.experiments})),
            groups=contexts,
            warnings=[warning for group in groups for warning in group.collection.warnings],
            inks=used_inks(bodies),
        )
    )


def _context(group: ComparableGroup) -> dict[str, Any]:
    nothing = "There is nothing to compare yet." if group.collection.names else "No metric was measured."
    first, *others = headline(group.collection) or [nothing]
    return {
        "title": group.title,
        "first": first,
        "others": others,
        "scope": scope(group.collection),
        "settings": settings_in_short(group.collection),
        "sections": [(section, section.body) for section in group.sections],
        "unlike_first": group.unlike_first,
    }


def _of_groups(runs_of_groups: Sequence[Sequence[Run]], collection: Collection) -> list[Collection]:
    """Return a collection for each group; the first one names the runs that cannot be read."""
    first, *others = runs_of_groups
    return [gathered(first, collection.unreadable), *map(gathered, others)]


def _sections(collection: Collection, knobs: Sequence[str]) -> list[Section]:
    sections = (phase.section(collection, knobs) if make is phase.section else make(collection) for make in SECTIONS)
    return [section for section in sections if section is not None]
