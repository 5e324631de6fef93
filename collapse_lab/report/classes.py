"""The drift of the class histogram: the share of each class in what is generated, beside its share in the real data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.metrics.catalogue import CLASS_SHARE
from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, strip_note
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point

MOST_GROUPS = 3
MOST_CLASSES = 40
MOST_GENERATIONS = 20


def section(collection: Collection) -> Section | None:
    """Return a heat map of classes over generations for some of the configurations.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no feature space assigns a class to a sample.
    """
    names = sorted((n for n in collection.names if n.is_class_share), key=lambda n: (n.features, n.subset, _rank(n)))
    names = [name for name in names if name.features == names[0].features]
    if not names:
        return None
    subsets = list(dict.fromkeys(name.subset for name in names))
    groups = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_GROUPS)]
    # All panels share one scale, so that they can be compared at a glance.
    largest = max(
        record.metrics.get(name.key, 0.0)
        for group in groups
        for run in group.runs
        for record in run.records
        for name in names
    )
    n_classes = max(len([name for name in names if name.subset == subset]) for subset in subsets)
    plots = [
        panel
        for group in groups
        for subset in subsets
        if (panel := _panel(collection, group, [name for name in names if name.subset == subset], largest))
    ]
    if not plots:
        return None
    notes = ["Share of each class in what is generated, beside its share in the real data. Bright is a large share."]
    notes.append(strip_note(any(len(group.runs) > 1 for group in collection.seed_groups)))
    if len(groups) < len(collection.seed_groups):
        notes.append(f"{len(groups)} of {len(collection.seed_groups):,} configurations are drawn.")
    if n_classes > MOST_CLASSES:
        notes.append(f"The {MOST_CLASSES} of {n_classes} classes whose share changed most are drawn.")
    return Section.of_plots("Drift of the class histogram", plots, " ".join(notes), columns=len(subsets))


def _panel(collection: Collection, group: SeedGroup, names: Sequence[Name], largest: float) -> Plot | None:
    last = max((run.last for run in group.runs), default=-1)
    measured = {record.generation for run in group.runs for record in run.records if record.metrics}
    generations = [generation for generation in range(last + 1) if generation in measured]
    generations = [generations[i] for i in evenly(len(generations), MOST_GENERATIONS)]
    if not generations or not names:
        return None
    # (class, generation, 3)
    generated = np.asarray([[point(group.runs, name.key, g) for g in generations] for name in names])
    if not np.isfinite(generated[..., 0]).any():
        return None
    real = np.asarray([_real(collection, name) for name in names])  # (class, 3)
    kept = _kept(generated[..., 0])[::-1]  # rows are drawn from the bottom up, and read from the top down
    known = bool(np.isfinite(real[:, 0]).any())
    shares = np.concatenate([real[:, None], generated], axis=1)[kept] if known else generated[kept]
    words = _class_words(collection, names[0].features)
    tiles = Tiles(
        np.moveaxis(shares, 2, 0),
        x=np.asarray([-1.35] * known + list(range(len(generations))), float),
        columns=["real"] * known + [str(generation) for generation in generations],
        rows=[_class_word(words, names[i]) for i in kept],
        xlabel="generation",
        ylabel="class",
        top=largest,
    )
    return plot(
        lambda ax: draw(ax, tiles),
        Caption("Share of each class", names[0].where, group.label or names[0].space),
        stem("classes", names[0].subset, names[0].features, group.label),
        row=group.label,
        height=tiles.height,
    )


def _real(collection: Collection, name: Name) -> tuple[float, float, float]:
    span = floor(collection, name.key)
    return (np.nan, np.nan, np.nan) if span is None else (sum(span) / 2, np.nan, np.nan)


def _kept(shares: np.ndarray) -> list[int]:
    """Return the rows that are shown, in their order; of too many, those whose share changed most."""
    if len(shares) <= MOST_CLASSES:
        return list(range(len(shares)))
    change = np.nanmax(shares, axis=1) - np.nanmin(shares, axis=1)
    return sorted(np.argsort(-change, kind="stable")[:MOST_CLASSES].tolist())


def _class_words(collection: Collection, features: str) -> Sequence[str]:
    candidates = (run.fingerprints.get(features, {}).get("classes") for run in collection.runs)
    return next((words for words in candidates if words), ())


def _class_word(words: Sequence[str], name: Name) -> str:
    label = name.metric.removeprefix(CLASS_SHARE)
    return str(words[int(label)]) if label.isdigit() and int(label) < len(words) else label


def _rank(name: Name) -> tuple[float, str]:
    label = name.metric.removeprefix(CLASS_SHARE)
    return (float(label) if label.isdigit() else np.inf, label)
