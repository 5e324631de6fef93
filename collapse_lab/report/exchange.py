"""Gain against homogenisation: what models learn of domains that they never saw, over how alike they become."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes

from collapse_lab.metrics.catalogue import LOGARITHMIC, SIMILARITY
from collapse_lab.report.curves import legend_of
from collapse_lab.report.plot import Caption, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, marker
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.names import Name
from collapse_lab.results.private import domains, knowing, on_others
from collapse_lab.results.run import Run
from collapse_lab.results.series import lines


def section(collection: Collection) -> Section | None:
    """Return a path over the generations for each configuration: gain upwards, similarity across.

    The gain is the mean over models and over the private domains of the others. Of a single configuration each model
    has a path: its own gain, and its similarity to the others. For a metric on a logarithmic scale the gain is
    log2(first / now), else the difference from generation 0 in the better direction.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no run has private domains and a similarity between its models.
    """
    name = knowing(collection)
    drawn_lines = lines(collection)
    if name is None or len(drawn_lines) < 2:
        return None
    paths = [
        (rank, path) for rank, (_, group, model) in enumerate(drawn_lines) if len(path := _path(group, name, model))
    ]
    if not paths:
        return None
    legend = legend_of(collection)
    times = name.metric in LOGARITHMIC
    gain = f"log2 of how many times smaller: {name.title.lower()}" if times else f"gain in {name.title.lower()}"
    drawn = plot(
        partial(_draw, paths=paths, inks=[ink for ink, _ in legend.inks], times=times),
        Caption("Gain on domains that a model never saw", "", gain),
        stem("exchange", name.key),
        legend=legend,
    )
    note = (
        "A path leads from generation 0, at the height of 0, to the last one, which has the large mark. Upwards: what "
        "models gain on the private domains of the others. To the right: how alike models are on private domains."
    )
    return Section.of_plots("Gain against homogenisation", [drawn], note, legend)


def _path(group: SeedGroup, name: Name, model: str | None) -> np.ndarray:
    """Return (similarity, gain) of each generation, means over the runs, (m, 2); no rows where they are not known.

    Args:
        group: The runs.
        name: The metric that says how well a model knows a domain.
        model: The model whose gain and similarity are asked for; None takes the mean over all models.
    """
    of_runs = [path for run in group.runs if len(path := _of_run(run, name, model))]
    shortest = min(map(len, of_runs), default=0)
    return np.mean([path[:shortest] for path in of_runs], axis=0) if shortest else np.zeros((0, 2))


def _of_run(run: Run, name: Name, model: str | None) -> np.ndarray:
    places, private = on_others(run, name, model), domains(run)
    rows: list[tuple[float, float]] = []
    first: dict[tuple[str, str], float] = {}
    for generation in sorted(run.by_generation):
        metrics = {record.model: record.metrics for record in run.by_generation[generation]}
        known = {place: metrics[place[0]][place[1]] for place in places if place[1] in metrics.get(place[0], {})}
        first = first or known
        alike = [
            value
            for member, numbers in metrics.items()
            for key, value in numbers.items()
            if _is_similarity(key, member, model) and key.split("/")[0] in private
        ]
        if alike and known.keys() == first.keys() and known:
            gains = [_gain(name, first[place], known[place]) for place in places if place in known]
            rows.append((float(np.mean(alike)), float(np.mean(gains))))
    return np.asarray(rows, float).reshape(-1, 2)


def _is_similarity(key: str, member: str, model: str | None) -> bool:
    """Return whether a number of a member is its similarity to another one, and one of them is the model asked for."""
    name = Name.of(key)
    if not name.metric.startswith(SIMILARITY) or key.endswith(("_lo", "_hi")):
        return False
    return model in (None, member, name.metric.removeprefix(SIMILARITY))


def _gain(name: Name, first: float, now: float) -> float:
    if name.metric in LOGARITHMIC:
        return float(np.log2(first / now))
    return now - first if name.better == "higher" else first - now


def _draw(ax: Axes, paths: list[tuple[int, np.ndarray]], inks: list[str], times: bool) -> None:
    for rank, path in paths:
        ax.plot(*path.T, color=inks[rank], marker=".", markersize=3, linewidth=1.2)
        ax.plot(*path[-1], color=inks[rank], marker=marker(rank), markersize=6, linestyle="")
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.margins(0.08)
    ax.set_xlabel("similarity of two models")
    ax.set_ylabel("log2 (first / now)" if times else "gain")
