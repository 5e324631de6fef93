"""The headline: what happened, in sentences computed from the ledgers."""

from __future__ import annotations

import numpy as np

from collapse_lab.results.collect import Cell, Collection, short, shown
from collapse_lab.results.names import Name
from collapse_lab.results.series import floor, point

# Below this share of its start, a change is called none at all.
FLAT = 0.05


def number(value: float) -> str:
    """Three significant digits, thousands in full."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def scope(collection: Collection) -> str:
    """What the page covers: experiments, cells, seeds, generations, and what was swept."""
    runs, seeds = len(collection.runs), len({str(r.seed) for r in collection.runs})
    parts = [_count(runs, "run")]
    if len(collection.cells) > 1:
        parts = [_count(len(collection.cells), "cell"), parts[0]]
    if seeds > 1:
        parts.append(_count(seeds, "seed"))
    parts.append(f"generations 0 to {collection.last}")
    for knob in collection.knobs:
        values = list(dict.fromkeys(shown(cell.knobs[knob]) for cell in collection.cells))
        listed = ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
        parts.append(f"{'experiment' if knob == 'name' else short(knob)}: {listed}")
    return " · ".join(parts)


def headline(collection: Collection) -> list[str]:
    """The first sentence is about FID, the others about recall and prompt agreement, where they are known; of language
    models, the one is about perplexity.
    """
    told_first = ("fid", "recall", "agreement", "perplexity")
    firsts = (next((n for n in collection.names if n.metric == m), None) for m in told_first)
    told = [name for name in firsts if name is not None] or collection.names[:1]
    sentences = [sentence for name in told if (sentence := _sentence(collection, name))]
    if sentences and len(collection.cells) > 1:
        last = collection.last
        even = all(run.last == last and run.status != "diverged" for run in collection.runs)
        when = f"generation {last}" if even else "the end of each chain"
        sentences[0] = f"at {when}, {sentences[0]}"
    return [s[:1].upper() + s[1:] for s in sentences]


def _sentence(collection: Collection, name: Name) -> str:
    called = name.short if name.short.isupper() else name.plain.lower()
    what = f"{called} on {name.where}" if name.where else called
    if len(collection.cells) == 1:
        return _of_chain(collection, name, what)
    if collection.dose is not None and len(collection.knobs) == 1:
        return _of_dose(collection, name, what, short(collection.dose))
    return _of_cells(collection, name, what)


def _of_chain(collection: Collection, name: Name, what: str) -> str:
    runs = collection.cells[0].runs
    at = sorted({r.generation for run in runs for r in run.records if name.key in r.metrics})
    first, last = (point(runs, name.key, g)[0] for g in (at[0], at[-1]))
    if len(at) == 1:
        return f"{what} was {number(first)} at generation {at[0]}{_floor(collection, name)}."
    change = f"from {number(first)} to {number(last)} over {_count(at[-1] - at[0], 'generation')}"
    return f"{what} {_verb(first, last)} {change}{_floor(collection, name)}."


def _of_dose(collection: Collection, name: Name, what: str, knob: str) -> str:
    ends = [(cell, point(cell.runs, name.key, None)[0]) for cell in collection.cells]
    known = [(cell, value) for cell, value in ends if np.isfinite(value)]
    if len(known) < 2:
        return ""
    (low, at_low), (high, at_high) = known[0], known[-1]
    times = f": {at_high / at_low:.1f} times as much" if at_low > 0 and at_high / at_low >= 1.5 else ""
    return (
        f"{what} was {number(at_low)} at {knob} {_value(low)} and "
        f"{number(at_high)} at {knob} {_value(high)}{times}{_floor(collection, name)}."
    )


def _of_cells(collection: Collection, name: Name, what: str) -> str:
    ends = [(point(cell.runs, name.key, None)[0], cell.label) for cell in collection.cells]
    known = sorted((value, label) for value, label in ends if np.isfinite(value))
    if len(known) < 2:
        return ""
    (least, at_least), (most, at_most) = known[0], known[-1]
    return f"{what} ran from {number(least)} at {at_least} to {number(most)} at {at_most}{_floor(collection, name)}."


def _verb(first: float, last: float) -> str:
    if abs(last - first) <= FLAT * abs(first):
        return "stayed flat,"
    return "rose" if last > first else "fell"


def _floor(collection: Collection, name: Name) -> str:
    between = floor(collection, name.key)
    return f" (real against real: {number(sum(between) / 2)})" if between else ""


def _value(cell: Cell) -> str:
    return shown(next(iter(cell.knobs.values())))


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
