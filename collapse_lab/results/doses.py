"""Dose and response: how much worse than the control each dose of one setting is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.names import Name
from collapse_lab.results.series import final, value
from collapse_lab.results.settings import labelled


@dataclass(frozen=True)
class Response:
    """Hold the response of one metric to the doses of one setting, all other settings alike.

    Attributes:
        label: The other settings as text; "" where there are none.
        doses: (d,), rising from 0, which is the control.
        harm: (d, n), how much worse than the control n seeds are, in units of the metric.
        control: The mean of the control.
    """

    label: str
    doses: np.ndarray
    harm: np.ndarray
    control: float


def responses(collection: Collection, metric: str) -> list[Response]:
    """Return one response for each combination of the other settings.

    A combination counts where it has a control, which is dose 0, a second dose, and a seed that all its doses share.
    Values are of the last generation that all these runs have.

    Args:
        collection: The runs of a sweep.
        metric: The metric's name in the ledger.

    Returns:
        The responses; empty where no numeric setting was swept.

    Raises:
        UserError: The features behind `metric` differ between runs that are to be compared.
    """
    dose = collection.dose
    if dose is None:
        return []
    by_label: dict[str, list[SeedGroup]] = {}
    for group in collection.dosed:
        label = labelled({knob: value for knob, value in group.knobs.items() if knob != dose})
        by_label.setdefault(label, []).append(group)
    candidates = (_response(label, dose, groups, metric) for label, groups in by_label.items())
    return [response for response in candidates if response is not None]


def _response(label: str, dose: str, groups: list[SeedGroup], metric: str) -> Response | None:
    ordered = sorted(groups, key=lambda group: float(group.knobs[dose]))
    doses = np.asarray([float(group.knobs[dose]) for group in ordered])
    seeds = set.intersection(*({run.seed for run in group.runs} for group in ordered))
    runs = [[run for run in group.runs if run.seed in seeds] for group in ordered]
    if doses[0] != 0 or len(doses) < 2 or not seeds:
        return None
    require_comparable([run for row in runs for run in row], metric)
    last = min(final(run, metric) for row in runs for run in row)
    values = np.asarray([[value(run, metric, last) for run in sorted(row, key=lambda r: str(r.seed))] for row in runs])
    if last < 0:
        return None
    sign = -1.0 if Name.of(metric).better == "higher" else 1.0
    x = values.astype(float)
    return Response(label, doses, sign * (x - x[0]), float(x[0].mean()))
