"""Run the policies on real data and check the training sets that the fits get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.accumulate_subsample import AccumulateSubsample
from collapse_lab.mixing.augment import Augment
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.fresh import Fresh
from collapse_lab.mixing.phases import Phase, Phases
from collapse_lab.mixing.replace import Replace
from collapse_lab.types import Samples
from tests.standins import BLACK, DIGITS, Chain, Gaussian

POLICIES: list[Policy] = [
    Replace(),
    Accumulate(),
    AccumulateSubsample(),
    Contaminate(0.25, initial="all"),
    Augment(0.5),
    Fresh(0.25),
    Phases([Phase(Contaminate(0.5), 1), Phase(Contaminate(0))], initial="all"),
]


def rows(samples: Samples) -> list[bytes]:
    return [image.numpy().tobytes() for image in samples.data]


@pytest.fixture
def training_sets(monkeypatch: pytest.MonkeyPatch) -> dict[int, Samples]:
    """Collect the training set of each generation."""
    fitted: dict[int, Samples] = {}
    fit = Gaussian.fit

    def recording_fit(self: Gaussian, data: Samples, budget: Any, seeds: Any, progress: Any) -> None:
        fitted[seeds.generation] = data
        fit(self, data, budget, seeds, progress)

    monkeypatch.setattr(Gaussian, "fit", recording_fit)
    return fitted


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("retrain", [None, [0, 1, 2]], ids=["all", "some"])
def test_no_reference_row_is_ever_trained_on(
    tmp_path: Path, training_sets: dict[int, Samples], policy: Policy, retrain: list[int] | None
) -> None:
    chain = Chain(tmp_path, policy, generations=3, retrain=retrain, n=100)
    chain.run()
    real = DIGITS.load()
    reference = set(rows(real.reference))
    train = dict(zip(rows(real.train), real.train.labels.tolist(), strict=True))
    assert not reference & train.keys()
    for generation, data in training_sets.items():
        marks = data.data[:, 0, 0, 0].numpy()
        real_rows = [row for row, mark in zip(rows(data), marks, strict=True) if mark == BLACK]
        assert not reference & set(real_rows)
        assert [train[row] for row in real_rows] == data.labels[marks == BLACK].tolist()
        counts = {"real": len(real_rows), "synthetic": len(data) - len(real_rows)}
        assert chain.records[generation].counts == counts
        if generation > 0 and retrain is not None:
            assert set(data.labels) <= set(retrain)


def test_planning_writes_no_file(tmp_path: Path) -> None:
    plan = Chain(tmp_path / "run", Fresh(0.25)).plan()
    assert [len(steps) for steps in plan] == [1, 1, 1, 1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("policy", "changes", "message"),
    [
        (Contaminate(0.005), {"n": 50}, "which rounds to none; the smallest ratio that works is 0.01001"),
        (Contaminate(0.5), {"n": 5000}, "5000 real rows are asked for and there are 1258"),
        (Contaminate(0.0, initial=10), {"n": 40}, "40 real rows are asked for and there are 10"),
        (Fresh(0), {"n": 400}, "generation 3 of mixing=fresh would be the one to exhaust the real rows"),
        # About four of the 40 rows of generation 0 are zeros, and later generations may train on these only
        (Contaminate(0.5), {"n": 40, "retrain": [0]}, "20 real rows are asked for"),
    ],
)
def test_a_run_that_needs_more_rows_than_there_are_is_refused_before_it_starts(
    tmp_path: Path, policy: Policy, changes: dict[str, Any], message: str
) -> None:
    chain = Chain(tmp_path / "run", policy, **changes)
    with pytest.raises(UserError, match=message):
        chain.plan()
    assert not (tmp_path / "run").exists()


def test_cells_of_a_sweep_over_the_ratio_train_on_nested_rows(
    tmp_path: Path, training_sets: dict[int, Samples]
) -> None:
    real: list[set[bytes]] = []
    for ratio in (0.0, 0.25, 0.5, 1.0):
        Chain(tmp_path / str(ratio), Contaminate(ratio), generations=1, n=60).run()
        data = training_sets[1]
        real.append(set(rows(data.take(np.flatnonzero(data.data[:, 0, 0, 0].numpy() == BLACK)))))
    assert [len(rows_of_cell) for rows_of_cell in real] == [60, 45, 30, 0]
    assert real[3] < real[2] < real[1] < real[0]


def test_chains_of_different_seeds_share_no_stage(tmp_path: Path) -> None:
    one, other = Chain(tmp_path, seed=0).plan(), Chain(tmp_path, seed=1).plan()
    keys = [{stage.key for steps in plan for step in steps for stage in step.stages} for plan in (one, other)]
    assert not keys[0] & keys[1]
    assert keys[0] == {stage.key for steps in Chain(tmp_path).plan() for step in steps for stage in step.stages}
