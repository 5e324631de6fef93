"""Statistics of the chains of one cell: beside their floor, per generation, and until they collapse."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_lab.results import chains
from collapse_lab.results.collect import Run
from collapse_lab.results.intervals import of_mean, of_median
from collapse_lab.results.names import Name
from collapse_lab.results.series import along, final, floor_of, value
from collapse_lab.verify.measured import Measured
from collapse_lab.verify.statistics import CellName, Cells, MetricName


def times_floor(cells: Cells, metric: MetricName, cell: CellName, generation: int | None = None) -> Measured:
    """mean(y / floor) over the chains of one cell, at a generation or at the end of each."""
    shares = []
    for run in cells[cell]:
        least, found = (
            floor_of(run, metric),
            value(run, metric, final(run, metric) if generation is None else generation),
        )
        if least is not None and least > 0 and found is not None:
            shares.append(found / least)
    return _mean(shares, cells[cell], f"no run has {metric} beside a floor above 0")


def rate(cells: Cells, metric: MetricName, cell: CellName) -> Measured:
    """Mean over the chains of one cell of the Theil-Sen slope: change per generation."""
    slopes = [chains.rate(*along(run, metric)) for run in cells[cell]]
    return _mean([s.value for s in slopes if s is not None], cells[cell], f"no run has two generations of {metric}")


def time_to_collapse(cells: Cells, metric: MetricName, cell: CellName, multiple: float = chains.MULTIPLE) -> Measured:
    """Median over the chains of one cell of the first generation that stays beyond `multiple` times the floor."""
    times: list[float | None] = []
    for run in cells[cell]:
        least = floor_of(run, metric)
        if least is not None:
            times.append(chains.time_to_collapse(*along(run, metric), least, Name.of(metric).better, multiple))
    return _median(times, f"no run has {metric} beside a floor")


def half_life(cells: Cells, metric: MetricName, cell: CellName) -> Measured:
    """Median over the chains of one cell of the generations until half of the value of generation 0."""
    measured = [along(run, metric) for run in cells[cell]]
    return _median([chains.half_life(x, y) for x, y in measured if len(x)], f"no run has {metric}")


def _mean(values: Sequence[float], runs: Sequence[Run], lacking: str) -> Measured:
    if not values:
        return Measured(None, note=lacking)
    found, out = of_mean(values), len(runs) - len(values)
    note = f"{out} run{'s' if out > 1 else ''} left out" if out else ""
    return Measured(found.value, found.lo, found.hi, len(values), note)


def _median(times: Sequence[float | None], lacking: str) -> Measured:
    if not times:
        return Measured(None, note=lacking)
    found, never = of_median(times), sum(t is None for t in times)
    note = f"never in {never} of {len(times)} chains" if never else ""
    return Measured(found.value, found.lo, found.hi, len(times), note)
