"""The headline of the page: what happened, in sentences computed from the ledgers."""

from __future__ import annotations

import numpy as np

from collapse_lab.report import learnt
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.paired import paired
from collapse_lab.results.private import knowing
from collapse_lab.results.series import floor, point
from collapse_lab.results.settings import short, shown, title_of

# A change below this share of the first value is called flat.
FLAT = 0.05
ENOUGH_SEEDS = 3  # with two, the 97.5 % quantile of Student's distribution is 12.7, and with three 4.3
# Settings in the head of the page, and what it calls them
NUMBERS = {
    "ratio": "ratio",
    "n_train": "rows trained on",
    "n_samples": "samples",
    "trainer.steps": "steps",
    "trainer.finetune_steps": "steps of later fits",
    "trainer.epochs": "epochs",
    "trainer.batch_size": "batch size",
    "model.guidance_scale": "guidance scale",
    "population.lineage": "starts from",
}


def number(value: float) -> str:
    """Return a number as text with three significant digits; from 1000 on, with all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def scope(collection: Collection) -> str:
    """Return what the page covers: configurations, runs, seeds, generations and what was swept.

    Args:
        collection: The runs of the page.

    Returns:
        One line, e.g. "5 configurations · 15 runs · 3 seeds · generations 0 to 5 · ratio: 0, 0.1".
    """
    runs, seeds = len(collection.runs), len({str(r.seed) for r in collection.runs})
    parts = [_count(runs, "run")]
    if len(collection.seed_groups) > 1:
        parts = [_count(len(collection.seed_groups), "configuration"), parts[0]]
    if seeds > 1:
        parts.append(_count(seeds, "seed"))
    parts.append(f"generations 0 to {collection.last}")
    for knob in collection.knobs:
        values = list(dict.fromkeys(shown(group.knobs[knob]) for group in collection.seed_groups))
        listed = ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
        parts.append(f"{title_of(knob)}: {listed}")
    if collection.too:
        parts.append(collection.too)
    return " · ".join(parts)


def settings_in_short(collection: Collection) -> str:
    """Return the settings that all runs share and that a reader asks for first, as one line.

    They are the classes of data, model, mixing and curation, the ratio, the rows and the training.

    Args:
        collection: The runs of the page.
    """
    first, *others = [run.flat for run in collection.runs]
    shared = {key: value for key, value in first.items() if all(flat.get(key) == value for flat in others)}
    classes = [(group, shared.get(f"{group}._target_")) for group in ("dataset", "model", "mixing", "curation")]
    parts = [f"{group} {str(target).rpartition('.')[2]}" for group, target in classes if target is not None]
    parts += [f"{title} {shown(shared[key])}" for key, title in NUMBERS.items() if shared.get(key) is not None]
    return " · ".join(parts)


def seeds_in_short(collection: Collection) -> str:
    """Return a sentence where no configuration has the three seeds that an interval over seeds needs; else "".

    Args:
        collection: The runs of the page.
    """
    most = max(len({str(run.seed) for run in group.runs}) for group in collection.seed_groups)
    if most >= ENOUGH_SEEDS:
        return ""
    needed = "Intervals over seeds need three seeds or more."
    if most == 1:
        return f"{needed} Here each configuration has one, so that intervals are over samples, if there are any."
    return f"{needed} Here are two, of which an interval reaches 12.7 standard errors to either side."


def headline(collection: Collection) -> list[str]:
    """Return the sentences of the headline.

    They are about FID, recall, prompt agreement and perplexity, as far as these were measured, in this order. Where
    none of them was measured, one sentence is about the first metric. Where models have private domains, what they
    learnt of each other comes first.

    Args:
        collection: The runs of the page.

    Returns:
        The sentences; empty where no metric was measured.
    """
    metrics = ("fid", "recall", "agreement", "perplexity")
    firsts = (next((name for name in collection.names if name.metric == metric), None) for metric in metrics)
    names = [name for name in firsts if name is not None] or collection.names[:1]
    known = knowing(collection)
    exchanged = learnt.sentences(collection, known) if known is not None else []
    if known is not None and exchanged:
        names = [name for name in names if name.metric != known.metric]
    sentences = [sentence for name in names if (sentence := _sentence(collection, name))]
    if sentences and len(collection.seed_groups) > 1:
        last = collection.last
        all_finished = all(run.last == last and run.status != "diverged" for run in collection.runs)
        when = f"generation {last}" if all_finished else "the end of each chain"
        sentences[0] = f"at {when}, {sentences[0]}"
    return [sentence[:1].upper() + sentence[1:] for sentence in (*exchanged, *sentences)]


def _sentence(collection: Collection, name: Name) -> str:
    what = f"{name.spoken} on {name.where}" if name.where else name.spoken
    models = {record.model for run in collection.runs for record in run.records if name.key in record.metrics}
    if len(models) > 1:
        what = f"{what}, mean of {len(models)} models,"
    if len(collection.seed_groups) == 1:
        return _of_chain(collection, name, what)
    if collection.dose is not None and len(collection.knobs) == 1:
        return _of_dose(collection, name, what, short(collection.dose))
    return _of_sweep(collection, name, what)


def _of_chain(collection: Collection, name: Name, what: str) -> str:
    runs = collection.seed_groups[0].runs
    generations = sorted({record.generation for run in runs for record in run.records if name.key in record.metrics})
    first, last = (point(runs, name.key, generation) for generation in (generations[0], generations[-1]))
    if len(generations) == 1:
        return f"{what} was {number(first[0])} at generation {generations[0]}{_floor(collection, name)}."
    span = _count(generations[-1] - generations[0], "generation")
    return f"{what} {_change(first, last)} over {span}{_floor(collection, name)}."


def _of_dose(collection: Collection, name: Name, what: str, knob: str) -> str:
    ends = [(group, point(group.runs, name.key, None)[0]) for group in collection.dosed]
    known = [(group, value) for group, value in ends if np.isfinite(value)]
    if len(known) < 2:
        return ""
    (lowest_dose, at_low), (highest_dose, at_high) = known[0], known[-1]
    too = f", where {collection.too}" if collection.too else ""
    times = f": {at_high / at_low:.1f} times as much" if at_low > 0 and at_high / at_low >= 1.5 else ""
    difference = paired(highest_dose.runs, lowest_dose.runs, name.key)
    apart = difference.mean
    if apart is not None and apart.lo is not None and apart.hi is not None and apart.lo <= 0 <= apart.hi:
        times = f", which {difference.n} seeds do not tell apart"
    return (
        f"{what} was {number(at_low)} at {knob} {_dose(lowest_dose)} and "
        f"{number(at_high)} at {knob} {_dose(highest_dose)}{too}{times}{_floor(collection, name)}."
    )


def _of_sweep(collection: Collection, name: Name, what: str) -> str:
    ends = [(point(group.runs, name.key, None)[0], group.label) for group in collection.seed_groups]
    known = sorted((value, label) for value, label in ends if np.isfinite(value))
    if len(known) < 2:
        return ""
    (smallest, where_smallest), (largest, where_largest) = known[0], known[-1]
    too = f", where {collection.too}" if collection.too else ""
    span = f"from {number(smallest)} at {where_smallest}, to {number(largest)} at {where_largest}{too}"
    return f"{what} ranged {span}{_floor(collection, name)}."


def _change(first: tuple[float, float, float], last: tuple[float, float, float]) -> str:
    """Return in words how a value changed between two points, each (value, lo, hi).

    Two values whose 95 % intervals overlap are said to be not told apart. A value without an interval is taken as it
    is.
    """
    ends = f"from {number(first[0])} to {number(last[0])}"
    if first[1] <= last[2] and last[1] <= first[2]:  # which is false where an end is not known
        return f"went {ends}, which their intervals do not tell apart,"
    if abs(last[0] - first[0]) <= FLAT * abs(first[0]):
        return f"stayed flat, {ends}"
    return f"{'rose' if last[0] > first[0] else 'fell'} {ends}"


def _floor(collection: Collection, name: Name) -> str:
    span = floor(collection, name.key)
    return f" ({name.floor_of[1]}: {number(sum(span) / 2)})" if span else ""


def _dose(group: SeedGroup) -> str:
    return shown(next(iter(group.knobs.values())))


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
