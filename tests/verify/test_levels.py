"""The statistics that read the ledger's own intervals: their values by hand, and their intervals by simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from collapse_lab.results.collect import Run
from collapse_lab.verify.measured import ONE_RUN, Needed, judge
from collapse_lab.verify.statistics import CellName, MetricName
from collapse_lab.verify.statistics.levels import departure, largest_step, level
from collapse_lab.verify.statistics.pairs import change, difference, growth, ratio
from tests.results.made import run

METRIC, CELL = MetricName("all/variance"), CellName("one")
Z = norm.ppf(0.975)


def chain(
    values: Sequence[float], half: float | None = None, theory: Sequence[float] | None = None, seed: int = 0
) -> Run:
    rows: dict[str, Sequence[float | None]] = {METRIC: values}
    if half is not None:
        rows |= {f"{METRIC}_lo": [y - half for y in values], f"{METRIC}_hi": [y + half for y in values]}
    if theory is not None:
        rows[f"{METRIC}_theory"] = theory
    return run(rows, seed, prints={})


def cell(*runs: Run) -> dict[str, tuple[Run, ...]]:
    return {CELL: runs}


def test_a_level_has_the_interval_of_a_single_run_or_of_several() -> None:
    found = level(cell(chain([1.0, 2.0], half=0.5)), METRIC, CELL, generation=1)
    assert (found.value, found.lo, found.hi, found.n, found.note) == (2.0, 1.5, 2.5, 1, ONE_RUN)
    three = [chain([1.0, y], half=9.0, seed=seed) for seed, y in enumerate((2.0, 3.0, 4.0))]
    found = level(cell(*three), METRIC, CELL)
    assert found.value == 3.0
    assert found.hi == pytest.approx(3 + 4.302653 / np.sqrt(3))
    assert found.note == ""
    alone = level(cell(chain([1.0])), METRIC, CELL)
    assert (alone.value, alone.lo, alone.note) == (1.0, None, "")
    assert judge(alone, Needed(low=0))[0] == "inconclusive"
    assert level(cell(*three, chain([1.0], seed=3)), METRIC, CELL, 1).note == "1 run left out"
    assert level(cell(chain([1.0])), METRIC, CELL, 5).note == "no run has all/variance at generation 5"


def test_a_departure_is_the_largest_distance_from_theory() -> None:
    found = departure(cell(chain([1.0, 2.2, 3.0], half=0.1, theory=[1.0, 2.0, 4.0])), METRIC, CELL)
    wider = norm.ppf(1 - 0.025 / 3) / Z
    assert found.value == pytest.approx(0.25)
    assert found.lo == pytest.approx(0.25 - wider * 0.1 / 4)
    assert found.hi == pytest.approx(0.25 + wider * 0.1 / 4)
    until = departure(cell(chain([1.0, 2.2, 3.0], half=0.1, theory=[1.0, 2.0, 4.0])), METRIC, CELL, until=1)
    assert until.value == pytest.approx(0.1)
    agreeing = departure(cell(chain([1.0, 2.0], half=0.1, theory=[1.0, 2.0])), METRIC, CELL)
    assert (agreeing.value, agreeing.lo) == (0.0, 0.0)
    # Independent runs narrow it, and what they have in common remains
    four = departure(cell(*[chain([1.5], half=0.1, theory=[1.0], seed=s) for s in range(4)]), METRIC, CELL)
    assert [four.value, four.lo, four.n] == pytest.approx([0.5, 0.45, 4])


@pytest.mark.parametrize(
    "given",
    [
        chain([1.0, 2.0], half=0.1),
        chain([1.0, 2.0], theory=[1.0, 2.0]),
        chain([1.0], half=0.1, theory=[1.0]),
        chain([1.0, 2.0], half=0.1, theory=[1.0, 0.0]),
    ],
    ids=["no theory", "no interval", "too short", "theory of 0"],
)
def test_a_departure_that_is_not_known_is_not_run(given: Run) -> None:
    assert judge(departure(cell(given), METRIC, CELL, until=1), Needed(high=0.1))[0] == "not run"


def test_the_largest_step() -> None:
    falling = chain([5.0, 4.0, 2.5, 2.0], half=0.1)
    found = largest_step(cell(falling), METRIC, CELL)
    wider = norm.ppf(1 - 0.025 / 3) / Z
    assert found.value == pytest.approx(-0.5)
    assert found.hi == pytest.approx(-0.5 + wider * np.hypot(0.1, 0.1))
    assert found.note == ONE_RUN
    assert largest_step(cell(falling), METRIC, CELL, 0, 2).value == pytest.approx(-1.0)
    assert largest_step(cell(chain([5.0, 4.0])), METRIC, CELL).lo is None
    several = largest_step(cell(falling, chain([5.0, 4.0, 3.0, 2.3], seed=1)), METRIC, CELL)
    assert [several.value, several.n] == pytest.approx([-0.6, 2])
    assert several.note == ""
    rising = cell(chain([5.0, 4.0, 4.5], half=0.1))
    assert judge(largest_step(rising, METRIC, CELL), Needed(high=0))[0] == "not reproduced"
    assert judge(largest_step(cell(falling), METRIC, CELL), Needed(high=0))[0] == "reproduced"
    assert largest_step(cell(falling), METRIC, CELL, 0, 9).value is None


def test_intervals_hold_the_largest_of_several_numbers() -> None:
    """The largest of true distances 0, 0.02 and 0.1 and of true steps -1, -0.5 and -0.2 is inside 95 times in 100."""
    rng = np.random.default_rng(0)
    theory, truth, steps = [1.0, 2.0, 4.0], np.array([1.0, 2.04, 4.4]), np.array([3.0, 2.0, 1.5, 1.3])
    inside = np.zeros(2)
    for _ in range(400):
        drawn = chain((truth + 0.1 * rng.standard_normal(3)).tolist(), half=0.1 * Z, theory=theory)
        found = departure(cell(drawn), METRIC, CELL)
        assert found.lo is not None
        assert found.hi is not None
        inside[0] += found.lo <= 0.1 <= found.hi
        drawn = chain((steps + 0.1 * rng.standard_normal(4)).tolist(), half=0.1 * Z)
        found = largest_step(cell(drawn), METRIC, CELL)
        assert found.lo is not None
        assert found.hi is not None
        inside[1] += found.lo <= -0.2 <= found.hi
    assert (inside / 400 >= 0.95).all()


def test_a_single_pair_has_the_interval_of_its_two() -> None:
    other = CellName("other")
    both: dict[str, tuple[Run, ...]] = {
        CELL: (chain([2.0, 5.0], half=0.3),),
        other: (chain([2.0, 3.0], half=0.4),),
    }
    for found, value in (
        (change(both, METRIC, CELL, 0, 1), 3.0),
        (difference(both, METRIC, CELL, other, 1), 2.0),
    ):
        half = np.hypot(0.3, 0.3) if value == 3.0 else np.hypot(0.3, 0.4)
        assert (found.value, found.n, found.note) == (value, 1, ONE_RUN)
        assert found.lo == pytest.approx(value - half)
        assert found.hi == pytest.approx(value + half)


def test_a_single_ratio_has_the_interval_of_two_logarithms() -> None:
    other = CellName("other")
    rows = {METRIC: [1.0, 4.0], f"{METRIC}_lo": [0.8, 2.0], f"{METRIC}_hi": [1.25, 8.0]}
    both: dict[str, tuple[Run, ...]] = {
        CELL: (run(rows, 0, prints={}),),
        other: (chain([1.0, 1.0], half=0.0),),
    }
    grown, times = growth(both, METRIC, CELL, 0, 1), ratio(both, METRIC, CELL, other, 1)
    assert (grown.value, times.value) == (4.0, 4.0)
    assert grown.lo == pytest.approx(4 / np.exp(np.hypot(np.log(2), np.log(1.25))))
    assert times.lo == pytest.approx(2)
    assert times.hi == pytest.approx(8)


def test_several_pairs_keep_the_interval_over_them() -> None:
    runs = tuple(chain([1.0, y], half=9.0, seed=seed) for seed, y in enumerate((2.0, 3.0, 4.0)))
    found = change(cell(*runs), METRIC, CELL, 0, 1)
    assert (found.value, found.n, found.note) == (2.0, 3, "")
    assert found.hi == pytest.approx(2 + 4.302653 / np.sqrt(3))
