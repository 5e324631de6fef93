"""Heat maps over generations: the share of each class in what is generated, and the recall of each group of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_lab.metrics.catalogue import CLASS_SHARE, GROUP_RECALL
from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, strip_note
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point
from collapse_lab.results.vanishing import vanished

MOST_GROUPS = 3
MOST_CLASSES = 40
MOST_GENERATIONS = 20


@dataclass(frozen=True)
class _Kind:
    """Hold what one kind of heat map shows.

    Attributes:
        prefix: What names of the ledger begin with.
        stem: What files of its plots begin with.
        title: The heading of the section.
        of_each: The heading of a plot.
        row: What a row of tiles is: a class, or a group.
        rows: The same, of several.
        note: The first sentence below the heading.
        whole: Whether the scale reaches to 1.
    """

    prefix: str
    stem: str
    title: str
    of_each: str
    row: str
    rows: str
    note: str
    whole: bool = False


SHARES = _Kind(
    CLASS_SHARE,
    "classes",
    "Drift of the class histogram",
    "Share of each class",
    "class",
    "classes whose share",
    "Share of each class in what is generated, beside its share in the real data. Bright is a large share.",
)
RECALLS = _Kind(
    GROUP_RECALL,
    "groups",
    "Groups that survive",
    "Recall of each group",
    "group",
    "groups whose recall",
    "Share of the real images of each group that generated images of this group reach, beside its floor. A dark group "
    "has vanished. Groups stand in the order in which they vanish, the first on top. “g3” behind a group means that it "
    "vanishes in generation 3, the median over seeds.",
    whole=True,
)


def section(collection: Collection) -> Section | None:
    """Return a heat map of the shares of classes over generations for some of the configurations.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no feature space assigns a class to a sample.
    """
    return _section(collection, SHARES, [name for name in collection.names if name.is_class_share])


def section_of_groups(collection: Collection) -> Section | None:
    """Return a heat map of the recall of each group over generations for some of the configurations.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no metric looked at groups.
    """
    return _section(collection, RECALLS, [name for name in collection.names if name.is_group_recall])


def _section(collection: Collection, kind: _Kind, unsorted: Sequence[Name]) -> Section | None:
    names = sorted(unsorted, key=lambda n: (n.features, n.subset, rank_of(n, kind.prefix)))
    names = [name for name in names if name.features == names[0].features]
    if not names:
        return None
    subsets = list(dict.fromkeys(name.subset for name in names))
    groups = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_GROUPS)]
    # All panels share one scale, so that they can be compared at a glance.
    largest = (
        1.0
        if kind.whole
        else max(
            record.metrics.get(name.key, 0.0)
            for group in groups
            for run in group.runs
            for record in run.records
            for name in names
        )
    )
    n_classes = max(len([name for name in names if name.subset == subset]) for subset in subsets)
    plots = [
        panel
        for group in groups
        for subset in subsets
        if (panel := _panel(collection, kind, group, [name for name in names if name.subset == subset], largest))
    ]
    if not plots:
        return None
    notes = [kind.note]
    notes.append(strip_note(any(len(group.runs) > 1 for group in collection.seed_groups)))
    if len(groups) < len(collection.seed_groups):
        notes.append(f"{len(groups)} of {len(collection.seed_groups):,} configurations are drawn.")
    if n_classes > MOST_CLASSES:
        notes.append(f"The {MOST_CLASSES} of {n_classes} {kind.rows} changed most are drawn.")
    return Section.of_plots(kind.title, plots, " ".join(notes), columns=len(subsets))


def _panel(collection: Collection, kind: _Kind, group: SeedGroup, names: Sequence[Name], largest: float) -> Plot | None:
    last = max((run.last for run in group.runs), default=-1)
    measured = {record.generation for run in group.runs for record in run.records if record.metrics}
    generations = [generation for generation in range(last + 1) if generation in measured]
    generations = [generations[i] for i in evenly(len(generations), MOST_GENERATIONS)]
    if not generations or not names:
        return None
    words = words_of(collection, names, kind.prefix)
    if kind is RECALLS:
        names, words = _in_order(group, names, words)
    # (class, generation, 3)
    generated = np.asarray([[point(group.runs, name.key, g) for g in generations] for name in names])
    if not np.isfinite(generated[..., 0]).any():
        return None
    real = np.asarray([_real(collection, name) for name in names])  # (class, 3)
    kept = _kept(generated[..., 0])[::-1]  # rows are drawn from the bottom up, and read from the top down
    known = bool(np.isfinite(real[:, 0]).any())
    shares = np.concatenate([real[:, None], generated], axis=1)[kept] if known else generated[kept]
    floor_word = "floor" if kind is RECALLS else "real"
    tiles = Tiles(
        np.moveaxis(shares, 2, 0),
        x=np.asarray([-1.35] * known + list(range(len(generations))), float),
        columns=[floor_word] * known + [str(generation) for generation in generations],
        rows=[words[i] for i in kept],
        xlabel="generation",
        ylabel=kind.row,
        top=largest,
    )
    return plot(
        lambda ax: draw(ax, tiles),
        Caption(kind.of_each, names[0].where, group.label or names[0].space),
        stem(kind.stem, names[0].subset, names[0].features, group.label),
        row=group.label,
        height=tiles.height,
    )


def _in_order(group: SeedGroup, names: Sequence[Name], words: Sequence[str]) -> tuple[list[Name], list[str]]:
    """Return groups in the order in which they vanish, with the generation behind the word of each that does."""
    word = dict(zip(names, words, strict=True))
    order = vanished(group.runs, names)
    told = [f"{word[one.name]} · g{one.median:g}" if np.isfinite(one.median) else word[one.name] for one in order]
    return [one.name for one in order], told


def _real(collection: Collection, name: Name) -> tuple[float, float, float]:
    span = floor(collection, name.key)
    return (np.nan, np.nan, np.nan) if span is None else (sum(span) / 2, np.nan, np.nan)


def _kept(shares: np.ndarray) -> list[int]:
    """Return the rows that are shown, in their order; of too many, those whose share changed most."""
    if len(shares) <= MOST_CLASSES:
        return list(range(len(shares)))
    change = np.nanmax(shares, axis=1) - np.nanmin(shares, axis=1)
    return sorted(np.argsort(-change, kind="stable")[:MOST_CLASSES].tolist())


def words_of(collection: Collection, names: Sequence[Name], prefix: str) -> list[str]:
    """Return the word of the class or the prompt that each name ends with.

    Args:
        collection: The runs of the page.
        names: Names of one prompt set and one feature space.
        prefix: What they begin with.
    """
    words = _words(collection, names[0])
    labels = [name.metric.removeprefix(prefix) for name in names]
    return [str(words[int(label)]) if label.isdigit() and int(label) < len(words) else label for label in labels]


def _words(collection: Collection, name: Name) -> Sequence[str]:
    """Return the prompts of the groups where groups are prompts, or else the words of the classes."""
    spaces: list[Mapping[str, Any]] = [run.fingerprints.get(name.features, {}) for run in collection.runs]
    sizes = (space.get(name.subset) for space in spaces)
    groups = (of_subset.get("groups") for of_subset in sizes if isinstance(of_subset, Mapping))
    prompts = next((prompts for prompts in groups if isinstance(prompts, list)), None)
    if prompts is not None and (name.is_group_recall or name.is_group_coverage):
        return prompts
    return next((words for words in (space.get("classes") for space in spaces) if words), ())


def rank_of(name: Name, prefix: str) -> tuple[float, str]:
    """Return the place of a name among those of its prompt set: classes in the order of their numbers."""
    label = name.metric.removeprefix(prefix)
    return (float(label) if label.isdigit() else np.inf, label)
