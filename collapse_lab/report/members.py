"""The members of a population: what each knows of each domain, and how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from collapse_lab.metrics.catalogue import GROUP_COVERAGE, KNOWING, SIMILARITY
from collapse_lab.report.classes import rank_of, words_of
from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, strip_note
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, point
from collapse_lab.types import Record

MOST_GROUPS = 4
MOST_GENERATIONS = 9
MOST_ROWS = 40


def section(collection: Collection) -> Section | None:
    """Return heat maps of member and domain, and of member and class, over the generations, and of how alike two are.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where every run has one model.
    """
    groups = drawn_groups(collection)
    known = next((names for metric in KNOWING if len(names := _of_metric(collection, metric)) > 1), [])
    alike = [name for name in collection.names if name.metric.startswith(SIMILARITY)]
    reached = [name for name in collection.names if name.is_group_coverage]
    plots = [
        panel
        for group in groups
        for panel in (_knowledge(group, known), _reach(collection, group, reached), _likeness(group, alike))
        if panel is not None
    ]
    if not plots:
        return None
    notes = ["A row is a model and a domain: how well the model knows it, generation after generation."]
    if reached:
        notes.append("A row of a model and a class: how many of its real images have a generated one nearby.")
    if alike:
        notes.append("A row of two models is the cosine of what both draw or write for the same prompts.")
    notes.append(strip_note(any(len(group.runs) > 1 for group in groups)))
    if len(groups) < len(collection.seed_groups):
        notes.append(f"{len(groups)} of {len(collection.seed_groups):,} configurations are drawn.")
    return Section.of_plots("Who knows what", plots, " ".join(notes), columns=2)


def drawn_groups(collection: Collection) -> list[SeedGroup]:
    """Return the configurations of several models, or some of them where they are many."""
    groups = [group for group in collection.seed_groups if len(names_of(group)) > 1]
    return [groups[i] for i in evenly(len(groups), MOST_GROUPS)] if groups else []


def names_of(group: SeedGroup) -> list[str]:
    """Return the names of the models of a configuration, in the order of their lines."""
    return list(dict.fromkeys(record.model for run in group.runs for record in run.records))


def _of_metric(collection: Collection, metric: str) -> list[Name]:
    names = [name for name in collection.names if name.metric == metric]
    return [name for name in names if name.features == names[0].features]


def _knowledge(group: SeedGroup, names: Sequence[Name]) -> Plot | None:
    rows = [(member, name) for member in names_of(group) for name in names]
    if not rows:
        return None
    better = names[0].better
    notes = (group.label, better and f"{better} is better")
    caption = Caption(names[0].title, "", " · ".join(filter(None, notes)))
    return _tiles(group, rows, [f"{m} · {n.subset}" for m, n in rows], caption, better, "knowledge")


def _reach(collection: Collection, group: SeedGroup, names: Sequence[Name]) -> Plot | None:
    members = names_of(group)
    measured = [name for name in names if any(_measured(group, member, name) for member in members)]
    if not measured:
        return None
    names = sorted(
        (name for name in measured if name.features == measured[0].features),
        key=lambda name: (name.subset, rank_of(name, GROUP_COVERAGE)),
    )
    by_subset = [list(names) for _, names in groupby(names, key=lambda name: name.subset)]
    words = [word for names in by_subset for word in words_of(collection, names, GROUP_COVERAGE)]
    rows = [(member, name) for member in members for name in names]
    labels = [f"{member} · {word}" for member in members for word in words]
    caption = Caption("Coverage of each class", "", " · ".join(filter(None, (group.label, "higher is better"))))
    return _tiles(group, rows, labels, caption, "higher", "reach")


def _likeness(group: SeedGroup, names: Sequence[Name]) -> Plot | None:
    rows = [(member, name) for name in names for member in names_of(group) if member != _other(name)]
    rows = [(member, name) for member, name in rows if _measured(group, member, name)]
    if not rows:
        return None
    labels = [f"{member}, {_other(name)} · {name.subset}" for member, name in rows]
    return _tiles(group, rows, labels, Caption("Similarity of two models", "", group.label), "", "likeness")


def _other(name: Name) -> str:
    return name.metric.removeprefix(SIMILARITY)


def _measured(group: SeedGroup, member: str, name: Name) -> bool:
    return any(name.key in record.metrics for record in records_of(group, member))


def records_of(group: SeedGroup, member: str) -> list[Record]:
    """Return the lines of a member in the first run of a configuration."""
    return [record for record in group.runs[0].records if record.model == member]


def _tiles(
    group: SeedGroup, rows: Sequence[tuple[str, Name]], labels: Sequence[str], caption: Caption, better: str, kind: str
) -> Plot | None:
    generations = sorted({record.generation for run in group.runs for record in run.records if record.metrics})
    generations = [generations[i] for i in evenly(len(generations), MOST_GENERATIONS)]
    kept = evenly(len(rows), MOST_ROWS)[::-1]  # rows are drawn from the bottom up, and read from the top down
    values = np.asarray([[point(group.runs, rows[i][1].key, g, rows[i][0]) for g in generations] for i in kept])
    if not np.isfinite(values[..., 0]).any():
        return None
    tiles = Tiles(
        np.moveaxis(values, 2, 0),
        x=np.arange(len(generations), dtype=float),
        columns=[str(generation) for generation in generations],
        rows=[labels[i] for i in kept],
        xlabel="generation",
        ylabel="",
        better=better,
    )
    return plot(lambda ax: draw(ax, tiles), caption, stem(kind, group.label), row=group.label, height=tiles.height)
