"""The cells of a sweep as doses of one setting, and what each does beside the control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.results.collect import Cell, Collection, labelled
from collapse_lab.results.comparable import require_alike
from collapse_lab.results.names import Name
from collapse_lab.results.series import final, value


@dataclass(frozen=True)
class Response:
    """Cells that differ in the dose alone.

    label: their other settings, "" where there are none.
    doses: (d,), rising from 0, the control.
    harm: (d, n) how much worse than the control n seeds are, in units of the metric.
    control: the mean of the control.
    """

    label: str
    doses: np.ndarray
    harm: np.ndarray
    control: float


def responses(collection: Collection, metric: str) -> list[Response]:
    """One for each combination of other settings that has a control, which is dose 0, and a seed in all its cells.

    Values are of the last generation that all of the runs have.

    Raises:
        UserError: the features behind `metric` are unlike in some of the runs.
    """
    dose = collection.dose
    if dose is None:
        return []
    groups: dict[str, list[Cell]] = {}
    for cell in collection.cells:
        groups.setdefault(labelled({k: v for k, v in cell.knobs.items() if k != dose}), []).append(cell)
    found = (_response(label, dose, cells, metric) for label, cells in groups.items())
    return [response for response in found if response is not None]


def _response(label: str, dose: str, cells: list[Cell], metric: str) -> Response | None:
    ordered = sorted(cells, key=lambda cell: float(cell.knobs[dose]))
    doses = np.asarray([float(cell.knobs[dose]) for cell in ordered])
    seeds = set.intersection(*({run.seed for run in cell.runs} for cell in ordered))
    runs = [[run for run in cell.runs if run.seed in seeds] for cell in ordered]
    if doses[0] != 0 or len(doses) < 2 or not seeds:
        return None
    require_alike([run for row in runs for run in row], metric)
    last = min(final(run, metric) for row in runs for run in row)
    values = np.asarray([[value(run, metric, last) for run in sorted(row, key=lambda r: str(r.seed))] for row in runs])
    if last < 0:
        return None
    sign = -1.0 if Name.of(metric).better == "higher" else 1.0
    x = values.astype(float)
    return Response(label, doses, sign * (x - x[0]), float(x[0].mean()))
