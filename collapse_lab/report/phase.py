"""Phase diagrams: a key metric at the end of the chain over any two settings that were swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, note
from collapse_lab.results.collect import Cell, Collection, labelled, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point

MOST_PANELS = 6
MOST_FACETS = 4
MOST_VALUES = 16
FULL = 0.5  # below this share of tiles that have a run, the two settings were not swept together


def section(collection: Collection, knobs: Sequence[str] = ()) -> Section | None:
    """None where fewer than two settings were swept together.

    Args:
        collection: what the page is about.
        knobs: the settings on the two axes, across and up; chosen by the collection where empty.

    Raises:
        UserError: not two settings, or one that was not swept.
    """
    axes = named(collection, knobs) if knobs else _chosen(collection)
    if axes is None:
        return None
    facets = _facets(collection, axes)
    # Four settings at a time are a page of their own: each further one is cut at a few values, for fewer metrics.
    labels = [list(facets)[i] for i in evenly(len(facets), MOST_FACETS)]
    keys = [n for n in collection.names if n.is_key] or [n for n in collection.names if not n.is_part][:1]
    names = keys[:MOST_PANELS] if len(facets) == 1 else _two(keys)
    plots = [panel for name in names for label in labels if (panel := _panel(collection, name, axes, facets, label))]
    if not plots:
        return None
    across, up = map(short, axes)
    told = [f"Each metric at the last generation of a chain, over {across} and {up}.", "Bright is better."]
    told.append(note(any(len(cell.runs) > 1 for cell in collection.cells)))
    if len(facets) > len(labels):
        told.append(f"{len(labels)} of {len(facets)} settings of {_others(collection, axes)} are drawn.")
    if len(collection.knobs) > 2:
        told.append("Other axes: python -m collapse_lab.report --knobs A,B.")
    columns = len({n.subset for n in names}) if len(facets) == 1 else 2
    return Section.of_plots("Phase diagram", plots, " ".join(told), columns=columns)


def named(collection: Collection, knobs: Sequence[str]) -> tuple[str, str]:
    """Two settings by their dotted names, or the last parts of those.

    Raises:
        UserError: not two, or one that no two runs differ in.
    """
    if len(knobs) != 2 or knobs[0] == knobs[1]:
        raise UserError(f"expected two settings as the axes, e.g. --knobs ratio,steps; got '{','.join(knobs)}'")
    by_name = {short(k): k for k in reversed(collection.knobs)} | {k: k for k in collection.knobs}
    for knob in knobs:
        if knob not in by_name:
            swept = ", ".join(map(short, collection.knobs)) or "none"
            raise UserError(f"'{knob}' was not swept here: {did_you_mean(knob, by_name)} (swept: {swept})")
    return by_name[knobs[0]], by_name[knobs[1]]


def has(collection: Collection, knobs: Sequence[str]) -> bool:
    """Whether `knobs` are two settings that were swept in this collection."""
    swept = {*collection.knobs, *map(short, collection.knobs)}
    return len(set(knobs)) == 2 == len(knobs) and swept.issuperset(knobs)


def _chosen(collection: Collection) -> tuple[str, str] | None:
    """The dose across, and up the setting with most values; None where they were not crossed."""
    counts = {k: len({shown(c.knobs[k]) for c in collection.cells}) for k in collection.knobs}
    across = collection.dose or max(counts, key=lambda k: counts[k], default=None)
    rest = [k for k in collection.knobs if k != across]
    if across is None or not rest:
        return None
    up = max(rest, key=lambda k: (collection.is_numeric(k), counts[k]))
    found = {(shown(c.knobs[across]), shown(c.knobs[up])) for c in collection.cells}
    return (across, up) if len(found) >= FULL * counts[across] * counts[up] else None


def _facets(collection: Collection, axes: tuple[str, str]) -> dict[str, list[Cell]]:
    """Cells that differ in nothing but the two axes, by the label of what else was swept."""
    found: dict[str, list[Cell]] = {}
    for cell in collection.cells:
        rest = labelled({k: v for k, v in cell.knobs.items() if k not in axes})
        found.setdefault(rest, []).append(cell)
    return found


def _others(collection: Collection, axes: tuple[str, str]) -> str:
    return " and ".join(short(k) for k in collection.knobs if k not in axes)


def _two(keys: Sequence[Name]) -> list[Name]:
    first = [n for n in keys if n.subset == keys[0].subset]
    return [n for n in first if n.metric in ("fid", "recall")] or list(first[:2])


def _panel(
    collection: Collection, name: Name, axes: tuple[str, str], facets: Mapping[str, list[Cell]], label: str
) -> Plot | None:
    across, up = (_values(collection, k) for k in axes)
    grid = np.full((3, len(up), len(across)), np.nan)
    for cell in facets[label]:
        x, y = (shown(cell.knobs[k]) for k in axes)
        if x in across and y in up:
            grid[:, up.index(y), across.index(x)] = point(cell.runs, name.key, None)
    if not np.isfinite(grid[0]).any():
        return None
    between = floor(collection, name.key)
    tiles = Tiles(
        grid,
        x=np.arange(len(across)),
        columns=across,
        rows=up,
        xlabel=short(axes[0]),
        ylabel=short(axes[1]),
        better=name.better,
        top=name.top,
        floor=None if between is None else sum(between) / 2,
    )
    own = Caption.of(name)
    caption = Caption(own.title, own.where, " · ".join(filter(None, (label, own.note))))
    return plot(
        lambda ax: draw(ax, tiles),
        caption,
        stem("phase", *axes, name.key, label),
        row=f"{name.features}/{name.metric}",
        height=tiles.height,
    )


def _values(collection: Collection, knob: str) -> list[str]:
    values: list[Any] = list({shown(c.knobs[knob]): c.knobs[knob] for c in collection.cells}.values())
    if collection.is_numeric(knob):
        values.sort()
    return [shown(values[i]) for i in evenly(len(values), MOST_VALUES)]
