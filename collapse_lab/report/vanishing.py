"""Table of when each group of prompts vanishes."""

from __future__ import annotations

import math

from collapse_lab.metrics.catalogue import GROUP_RECALL
from collapse_lab.report.classes import rank_of, words_of
from collapse_lab.report.fields import Field, knob_fields, text_field
from collapse_lab.report.section import Section
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.series import evenly
from collapse_lab.results.settings import title_of
from collapse_lab.results.vanishing import Vanishing, least_of, vanished

MOST_ROWS = 240
MOST_SHOWN = 40  # with more rows, the page shows the title alone until a reader opens it


def section(collection: Collection) -> Section | None:
    """Return a table of the generation in which each group vanishes, in this order, for each configuration.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no metric looked at groups, or no run has a later generation.
    """
    by_subset = _names(collection)
    if not by_subset or collection.last < 1:
        return None
    n_groups = sum(map(len, by_subset.values()))
    chosen = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), max(1, MOST_ROWS // n_groups))]
    rows = [
        [*knob_fields(group.knobs), *([text_field(subset)] if len(by_subset) > 1 else []), *fields]
        for group in chosen
        for subset, names in by_subset.items()
        for fields in _lines(collection, group, names)
    ]
    prompts = ["prompts"] if len(by_subset) > 1 else []
    header = [*map(title_of, collection.knobs), *prompts, "group", "vanishes in generation", "interval", "runs"]
    least = " or ".join(sorted({f"{least_of(run):g}" for run in collection.runs}))
    note = (
        f"A group vanishes in the first generation from which its recall stays below {least} up to the last one. "
        "“never” means that it does not. Those that vanish first stand first. The number is a median over seeds. Its "
        "interval is that of order statistics, with the confidence behind it. 95 % takes 6 seeds. Of fewer seeds it "
        "reaches from the first to the last time."
    )
    if len(chosen) < len(collection.seed_groups):
        note += f" {len(chosen)} of {len(collection.seed_groups):,} configurations are listed."
    context = {"header": header, "rows": rows, "foot": []}
    return Section("When groups vanish", "table.html.j2", context, note, folded=len(rows) > MOST_SHOWN)


def _names(collection: Collection) -> dict[str, list[Name]]:
    """Return the names of the recalls of groups in the first feature space that has any, by prompt set."""
    names = [name for name in collection.names if name.is_group_recall]
    first = min((name.features for name in names), default="")
    by_subset: dict[str, list[Name]] = {}
    for name in sorted(names, key=lambda name: (name.subset, rank_of(name, GROUP_RECALL))):
        if name.features == first:
            by_subset.setdefault(name.subset, []).append(name)
    return by_subset


def _lines(collection: Collection, group: SeedGroup, names: list[Name]) -> list[list[Field]]:
    order = [one for one in vanished(group.runs, names) if one.times]
    if not order:
        return []
    words = words_of(collection, [one.name for one in order], GROUP_RECALL)
    return [
        [text_field(word), _time(one.median), _interval(one), Field(str(len(one.times)), len(one.times))]
        for word, one in zip(words, order, strict=True)
    ]


def _time(value: float) -> Field:
    return Field(_told(value), value)


def _interval(one: Vanishing) -> Field:
    if one.interval is None:
        return Field("–", math.nan)
    lo, hi, confidence = one.interval
    times = _told(lo) if math.isinf(lo) else f"{_told(lo)} to {_told(hi)}"
    return Field(f"{times} ({100 * confidence:.3g} %)", lo)


def _told(value: float) -> str:
    return "never" if math.isinf(value) else number(value)
