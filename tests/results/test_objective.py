"""What a cell returns to a sweeper."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.objective import objective_of
from collapse_lab.types import Record


def record(generation: int, model: str, fid: float, status: Literal["ok", "diverged"] = "ok") -> Record:
    return Record(generation, model, {"real": 1}, {"seen/pixels/fid": fid}, {}, status, {}, {})


def test_the_objective_is_that_of_the_last_generation_and_the_mean_of_its_models() -> None:
    records = [record(0, "a", 1.0), record(0, "b", 2.0), record(1, "a", 3.0), record(1, "b", 6.0)]
    assert objective_of(records, "seen/pixels/fid") == 4.5
    assert objective_of(records[:1], "seen/pixels/fid") == 1.0


def test_a_run_that_diverged_has_no_number() -> None:
    assert math.isnan(objective_of([record(0, "a", 1.0), record(1, "a", 2.0, "diverged")], "seen/pixels/fid"))


def test_a_metric_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"is no metric of the run.s last generation; .*fid"):
        objective_of([record(0, "a", 1.0)], "pixels/fid")
