"""The flow of provenance: whose rows each member of a population trains on, stacked over the generations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.shares import shares
from collapse_lab.report.members import drawn_groups, names_of, records_of
from collapse_lab.report.plot import Caption, Legend, Plot, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import palette
from collapse_lab.results.built import built
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.types import Record

MOST_MEMBERS = 4
BY_ROWS = "Share of the rows of each source in the training set of a model; rows from a model are those it generated."
BY_WEIGHTS = (
    "Share of each source in the loss of a model, as its weights (mixing.by=weights) give it, whatever its number of "
    "rows; rows from a model are those it generated."
)
UNKNOWN = "Where rows have weights in the loss (mixing.by=weights), a source counts by these and not by rows."

Shares = Sequence[Mapping[str, float]]  # source -> its share, of each line of one member


def section(collection: Collection) -> Section | None:
    """Return the shares of each source in what each member trains on, stacked, over the generations.

    With `mixing.by=weights` they are shares of the loss, else of the rows.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no ledger counts the rows of several sources.
    """
    groups = [group for group in drawn_groups(collection) if any(_is_split(r) for r in group.runs[0].records)]
    if not groups:
        return None
    weights = {id(group): _weights(group) for group in groups}
    flows = [(group, name, _flow(group, name, weights[id(group)])) for group in groups for name in _some(group)]
    sources = list(dict.fromkeys(source for _, _, flow in flows for share in flow for source in share))
    legend = Legend("source", [source.replace("_", " ") for source in sources], palette(len(sources), ordered=False))
    plots = [_panel(group, name, flow, sources, legend, weights[id(group)] is not None) for group, name, flow in flows]
    notes = [
        BY_WEIGHTS if any(known is not None for known in weights.values()) else "",
        BY_ROWS if any(known is None for known in weights.values()) else "",
        UNKNOWN if any(_is_weighted(group) and weights[id(group)] is None for group in groups) else "",
    ]
    return Section.of_plots("Who learns from whom", plots, " ".join(filter(None, notes)), legend, columns=2)


def _some(group: SeedGroup) -> list[str]:
    return names_of(group)[:MOST_MEMBERS]


def _is_split(record: Record) -> bool:
    """Return whether a line counts rows by more sources than real and synthetic ones."""
    return bool(record.counts.keys() - {"real", "synthetic"})


def _is_weighted(group: SeedGroup) -> bool:
    return (group.runs[0].config.get("mixing") or {}).get("by") == "weights"


def _weights(group: SeedGroup) -> tuple[Interacting, Population] | None:
    """Return the policy and the population of runs whose sources count by weights that follow from these two.

    None stands for runs that draw rows, and for a policy or a population of somebody else's.
    """
    config = group.runs[0].config
    if not _is_weighted(group):
        return None
    try:
        return built(Interacting, config["mixing"]), built(Population, config["population"])
    except (KeyError, TypeError, UserError):  # of another class, or of a version with other arguments
        return None


def _flow(group: SeedGroup, member: str, known: tuple[Interacting, Population] | None) -> Shares:
    """Return the share of each source in each line of a member."""
    records = records_of(group, member)
    if known is None:
        return [_of_rows(record) for record in records]
    return [_of_weights(record, *known) for record in records]


def _of_rows(record: Record) -> dict[str, float]:
    counts = _counts(record)
    return {source: n / max(sum(counts.values()), 1) for source, n in counts.items()}


def _of_weights(record: Record, mixing: Interacting, population: Population) -> dict[str, float]:
    row = shares(mixing, population, record.generation)[population.names.index(record.model)]
    counts, total = _counts(record), float(row[2:].sum())
    by_model = {f"from_{name}": float(share) for name, share in zip(population.names, row[2:], strict=True)}
    if mixing.pool == "hidden":  # then all generated rows weigh the same, whoever made them
        made = {source: n for source, n in counts.items() if source in by_model}
        by_model = {source: total * n / max(sum(made.values()), 1) for source, n in made.items()}
    real = {"private": float(row[0]), "public": float(row[1])} if "private" in counts else {"real": 1 - total}
    return real | {source: share for source, share in by_model.items() if source in counts}


def _counts(record: Record) -> dict[str, int]:
    """Return the rows of each source, which are all rows of the training set.

    A ledger does not name the only model whose rows a member trains on, if that is the member itself.
    """
    counts = {source: n for source, n in record.counts.items() if source not in ("real", "synthetic")}
    real = {} if "private" in counts else {"real": record.counts.get("real", 0)}
    own = not any(source.startswith("from_") for source in counts)
    return real | counts | ({f"from_{record.model}": record.counts.get("synthetic", 0)} if own else {})


def _panel(group: SeedGroup, member: str, flow: Shares, sources: Sequence[str], legend: Legend, weighted: bool) -> Plot:
    generations = [record.generation for record in records_of(group, member)]
    values = np.array([[share.get(source, 0.0) for share in flow] for source in sources])
    return plot(
        partial(_stack, generations=generations, values=values, inks=legend.inks),
        Caption(f"Loss of {member} by source" if weighted else f"Training rows of {member}", "", group.label),
        stem("flow", member, group.label),
        row=group.label,
        legend=legend,
    )


def _stack(ax: Axes, generations: Sequence[int], values: np.ndarray, inks: Sequence[tuple[str, str]]) -> None:
    x = np.asarray(generations, float)
    if len(x) == 1:  # an area needs two points, so draw a single generation as wide as a bar
        x, values = np.concatenate([x - 0.2, x + 0.2]), np.repeat(values, 2, axis=1)
    ax.stackplot(x, values, colors=[light for light, _ in inks], alpha=0.85, linewidth=0)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0, 1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.set_xlabel("generation")
