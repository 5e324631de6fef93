"""Phase diagrams: a key metric at the end of the chain over two settings that were swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.report import efficiency
from collapse_lab.report.plot import Caption, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.tiles import Tiles, draw, strip_note
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly, floor, point
from collapse_lab.results.settings import joined, labelled, short, shown

MOST_PANELS = 6
MOST_FACETS = 4
MOST_VALUES = 16
FULL = 0.5  # where a smaller share of the tiles has a run, the two settings were not swept together

Facets = Mapping[str, list[SeedGroup]]  # the seed groups of a panel, by the label of all settings but the two axes


def section(collection: Collection, knobs: Sequence[str] = ()) -> Section | None:
    """Return a panel of tiles for each key metric and each combination of the other settings.

    Args:
        collection: The runs of the page.
        knobs: The settings on the two axes, across and up; where empty, they are chosen from what was swept.

    Returns:
        The section; None where fewer than two settings were swept together.

    Raises:
        UserError: `knobs` are not two settings, or one of them was not swept.
    """
    axes = named(collection, knobs) if knobs else _chosen(collection)
    if axes is None:
        return None
    facets = _facets(collection, axes)
    # With further settings, each combination of them needs a panel of its own for each metric. So draw few of the
    # combinations, and fewer metrics.
    labels = [list(facets)[i] for i in evenly(len(facets), MOST_FACETS)]
    candidates = [name for name in collection.names if name.is_key]
    candidates = candidates or [name for name in collection.names if not name.is_part][:1]
    names = candidates[:MOST_PANELS] if len(facets) == 1 else _two(candidates)
    maps = {
        (name, label): drawn
        for name in names
        for label in labels
        if efficiency.suits(name, axes) and (drawn := efficiency.panel(facets[label], name, label)) is not None
    }
    plots = [
        panel
        for name in names
        for label in labels
        if (panel := maps.get((name, label)) or _panel(collection, name, axes, facets, label))
    ]
    if not plots:
        return None
    across, up = map(short, axes)
    notes = [f"Each metric at the last generation of a chain, over {across} and {up}.", "Bright is better."]
    if maps:
        notes.append(efficiency.NOTE)
    if collection.too:
        notes.append(f"A change need not come from these alone: {collection.too}.")
    if len(plots) > len(maps):
        notes.append(strip_note(any(len(group.runs) > 1 for group in collection.seed_groups)))
    if len(facets) > len(labels):
        notes.append(f"{len(labels)} of {len(facets)} settings of {_others(collection, axes)} are drawn.")
    if len(collection.knobs) > 2:
        notes.append("For other axes, use python -m collapse_lab.report --knobs A,B.")
    columns = len({name.subset for name in names}) if len(facets) == 1 else 2
    return Section.of_plots("Phase diagram", plots, " ".join(notes), columns=columns)


def named(collection: Collection, knobs: Sequence[str]) -> tuple[str, str]:
    """Return the dotted names of the two settings that a user named for the axes.

    Args:
        collection: The runs of the page.
        knobs: The two settings, by their dotted names or by the last components of these.

    Returns:
        The dotted names of both settings.

    Raises:
        UserError: There are not two settings, or no two runs differ in one of them.
    """
    if len(knobs) != 2 or knobs[0] == knobs[1]:
        raise UserError(f"expected two settings as the axes, e.g. --knobs ratio,steps; got '{','.join(knobs)}'")
    by_name = {short(knob): knob for knob in reversed(collection.knobs)} | {knob: knob for knob in collection.knobs}
    for knob in knobs:
        if knob not in by_name:
            swept = ", ".join(map(short, collection.knobs)) or "none"
            raise UserError(f"'{knob}' was not swept here: {did_you_mean(knob, by_name)} (swept: {swept})")
    return by_name[knobs[0]], by_name[knobs[1]]


def has(collection: Collection, knobs: Sequence[str]) -> bool:
    """Return whether `knobs` are two settings that were swept in this collection."""
    swept = {*collection.knobs, *map(short, collection.knobs)}
    return len(set(knobs)) == 2 == len(knobs) and swept.issuperset(knobs)


def _chosen(collection: Collection) -> tuple[str, str] | None:
    """Return the dose (across) and the other setting with the most values (up); None where they were not crossed."""
    groups = collection.dosed
    counts = {knob: len({shown(group.knobs[knob]) for group in groups}) for knob in collection.knobs}
    across = collection.dose or max(counts, key=lambda knob: counts[knob], default=None)
    others = [knob for knob in collection.knobs if knob != across and counts[knob] > 1]
    if across is None or not others:
        return None
    up = max(others, key=lambda knob: (collection.is_numeric(knob), counts[knob]))
    tiles = {(shown(group.knobs[across]), shown(group.knobs[up])) for group in groups}
    return (across, up) if len(tiles) >= FULL * counts[across] * counts[up] else None


def _facets(collection: Collection, axes: tuple[str, str]) -> dict[str, list[SeedGroup]]:
    facets: dict[str, list[SeedGroup]] = {}
    for group in collection.seed_groups:
        label = labelled({knob: value for knob, value in group.knobs.items() if knob not in axes})
        facets.setdefault(label, []).append(group)
    return facets


def _others(collection: Collection, axes: tuple[str, str]) -> str:
    return joined([short(knob) for knob in collection.knobs if knob not in axes])


def _two(names: Sequence[Name]) -> list[Name]:
    """Return FID and recall of the first prompt set; where neither was measured, its first two metrics."""
    of_first_subset = [name for name in names if name.subset == names[0].subset]
    return [name for name in of_first_subset if name.metric in ("fid", "recall")] or list(of_first_subset[:2])


def _panel(collection: Collection, name: Name, axes: tuple[str, str], facets: Facets, label: str) -> Plot | None:
    across, up = (_values(collection, knob) for knob in axes)
    grid = np.full((3, len(up), len(across)), np.nan)
    for group in facets[label]:
        x, y = (shown(group.knobs[knob]) for knob in axes)
        if x in across and y in up:
            grid[:, up.index(y), across.index(x)] = point(group.runs, name.key, None)
    if not np.isfinite(grid[0]).any():
        return None
    span = floor(collection, name.key)
    tiles = Tiles(
        grid,
        x=np.arange(len(across)),
        columns=across,
        rows=up,
        xlabel=short(axes[0]),
        ylabel=short(axes[1]),
        better=name.better,
        top=name.top,
        floor=None if span is None else sum(span) / 2,
    )
    of_metric = Caption.of(name)
    caption = Caption(of_metric.title, of_metric.where, " · ".join(filter(None, (label, of_metric.note))))
    return plot(
        lambda ax: draw(ax, tiles),
        caption,
        stem("phase", *axes, name.key, label),
        row=f"{name.features}/{name.metric}",
        height=tiles.height,
    )


def _values(collection: Collection, knob: str) -> list[str]:
    by_text: dict[str, Any] = {shown(group.knobs[knob]): group.knobs[knob] for group in collection.seed_groups}
    values = list(by_text.values())
    if collection.is_numeric(knob):
        values.sort()
    return [shown(values[i]) for i in evenly(len(values), MOST_VALUES)]
