"""The class histogram as it drifts: the share of each class in what is generated, beside its real share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, note
from collapse_lab.results.collect import Cell, Collection
from collapse_lab.results.names import CLASS_SHARE, Name
from collapse_lab.results.series import evenly, floor, point

MOST_CELLS = 3
MOST_CLASSES = 40
MOST_GENERATIONS = 20


def section(collection: Collection) -> Section | None:
    """None where no features read a class off a sample. A sweep shows some of its cells."""
    names = sorted((n for n in collection.names if n.is_class_share), key=lambda n: (n.features, n.subset, _rank(n)))
    names = [n for n in names if n.features == names[0].features]
    if not names:
        return None
    subsets = list(dict.fromkeys(n.subset for n in names))
    cells = [collection.cells[i] for i in evenly(len(collection.cells), MOST_CELLS)]
    # One scale for all panels, so that they can be compared at a glance.
    greatest = max(r.metrics.get(n.key, 0.0) for cell in cells for run in cell.runs for r in run.records for n in names)
    most = max(len([n for n in names if n.subset == s]) for s in subsets)
    plots = [
        panel
        for cell in cells
        for subset in subsets
        if (panel := _panel(collection, cell, [n for n in names if n.subset == subset], greatest))
    ]
    if not plots:
        return None
    told = ["Share of each class in what is generated, beside its share in the real data; bright is a large share."]
    told.append(note(any(len(cell.runs) > 1 for cell in collection.cells)))
    if len(cells) < len(collection.cells):
        told.append(f"{len(cells)} of {len(collection.cells):,} cells are drawn.")
    if most > MOST_CLASSES:
        told.append(f"The {MOST_CLASSES} of {most} classes whose share moved most.")
    return Section.of_plots("Drift of the class histogram", plots, " ".join(told), columns=len(subsets))


def _panel(collection: Collection, cell: Cell, names: Sequence[Name], greatest: float) -> Plot | None:
    last = max((run.last for run in cell.runs), default=-1)
    at = [g for g in range(last + 1) if any(r.generation == g and r.metrics for run in cell.runs for r in run.records)]
    at = [at[i] for i in evenly(len(at), MOST_GENERATIONS)]
    if not at or not names:
        return None
    found = np.asarray([[point(cell.runs, name.key, g) for g in at] for name in names])  # (class, generation, 3)
    if not np.isfinite(found[..., 0]).any():
        return None
    real = np.asarray([_real(collection, name) for name in names])  # (class, 3)
    kept = _kept(found[..., 0])[::-1]  # rows are drawn upwards, and read downwards
    known = bool(np.isfinite(real[:, 0]).any())
    both = np.concatenate([real[:, None], found], axis=1)[kept] if known else found[kept]
    words = _words(collection, names[0].features)
    tiles = Tiles(
        np.moveaxis(both, 2, 0),
        x=np.asarray([-1.35] * known + list(range(len(at))), float),
        columns=["real"] * known + [str(g) for g in at],
        rows=[_word(words, names[i]) for i in kept],
        xlabel="generation",
        ylabel="class",
        top=greatest,
    )
    return plot(
        lambda ax: draw(ax, tiles),
        Caption("Share of each class", names[0].where, cell.label or names[0].space),
        stem("classes", names[0].subset, names[0].features, cell.label),
        row=cell.label,
        height=tiles.height,
    )


def _real(collection: Collection, name: Name) -> tuple[float, float, float]:
    between = floor(collection, name.key)
    return (np.nan, np.nan, np.nan) if between is None else (sum(between) / 2, np.nan, np.nan)


def _kept(shares: np.ndarray) -> list[int]:
    """Rows that are shown, in their order: those that moved most where there are too many."""
    if len(shares) <= MOST_CLASSES:
        return list(range(len(shares)))
    moved = np.nanmax(shares, axis=1) - np.nanmin(shares, axis=1)
    return sorted(np.argsort(-moved, kind="stable")[:MOST_CLASSES].tolist())


def _words(collection: Collection, features: str) -> Sequence[str]:
    told = (run.fingerprints.get(features, {}).get("classes") for run in collection.runs)
    return next((words for words in told if words), ())


def _word(words: Sequence[str], name: Name) -> str:
    member = name.metric.removeprefix(CLASS_SHARE)
    return str(words[int(member)]) if member.isdigit() and int(member) < len(words) else member


def _rank(name: Name) -> tuple[float, str]:
    member = name.metric.removeprefix(CLASS_SHARE)
    return (float(member) if member.isdigit() else np.inf, member)
