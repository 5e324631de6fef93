"""Statistics of the excess over the floor, of trends and of spreads: values worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.run import Run
from collapse_lab.verify.measured import Needed, judge
from collapse_lab.verify.statistics import GroupName, Groups, MetricName
from collapse_lab.verify.statistics.excess import (
    gap_left,
    least_excess_growth,
    least_growth_after_harm,
    least_times_excess,
    share_left,
    times_excess,
    trend,
)
from collapse_lab.verify.statistics.levels import share_of_level
from collapse_lab.verify.statistics.spread import class_dispersion, spread_over_seeds
from tests.results.memory_runs import PRINT, run

FID = MetricName("seen/classifier/fid")
A, B, C = GroupName("a"), GroupName("b"), GroupName("c")
FLOOR = 0.5


def chain(seed: int, *values: float | None, **settings: Any) -> Run:
    return run({FID: values, f"{FID}_floor": [FLOOR] * len(values)}, seed, **settings)


def test_the_excess_of_a_group_is_divided_by_that_of_its_control() -> None:
    groups: Groups = {
        A: tuple(chain(s, 1.0, 2.5 + s) for s in range(3)),
        B: tuple(chain(s, 1.0, 1.0) for s in range(3)),
    }
    measured = times_excess(groups, FID, A, B, 1)
    assert measured.value == pytest.approx((2 + 3 + 4) / 3 / 0.5)
    assert measured.n == 3
    assert times_excess(groups, FID, A, B).value == measured.value  # the last generation of both


def test_a_seed_without_a_partner_is_left_out_and_counted() -> None:
    groups: Groups = {A: tuple(chain(s, 1.5 + s) for s in range(4)), B: tuple(chain(s, 1.0) for s in range(3))}
    assert (times_excess(groups, FID, A, B, 0).n, times_excess(groups, FID, A, B, 0).note) == (3, "1 run left out")
    lacking = times_excess(groups, FID, A, B, 7)
    assert (lacking.value, lacking.note) == (None, f"no seed has {FID} beside its floor in a and b at generation 7")


def test_a_control_at_its_floor_gives_no_verdict_and_says_why() -> None:
    groups: Groups = {A: tuple(chain(s, 1.5) for s in range(3)), B: tuple(chain(s, FLOOR) for s in range(3))}
    verdict, reason = judge(times_excess(groups, FID, A, B, 0), Needed(low=1.5))
    assert verdict == "inconclusive"
    assert "nothing to divide by" in reason


def test_the_smallest_of_several_groups_decides_for_all() -> None:
    groups: Groups = {
        A: tuple(chain(s, 1.0, 2.0 + s / 10) for s in range(3)),
        B: tuple(chain(s, 1.0, 1.5 + s / 10) for s in range(3)),
        C: tuple(chain(s, 1.0, 1.0) for s in range(3)),
    }
    smallest, alone = least_times_excess(groups, FID, C, 1), times_excess(groups, FID, B, C, 1)
    assert (smallest.value, smallest.lo) == (alone.value, alone.lo)
    assert smallest.note == "smallest in b"
    # The upper end holds for all groups together, so that it is further out than that of one group
    assert smallest.hi is not None
    assert alone.hi is not None
    assert smallest.hi > alone.hi
    assert least_excess_growth(groups, FID, 0, 1).value == pytest.approx(1.0)


def test_only_groups_that_were_harmed_can_settle() -> None:
    groups: Groups = {
        A: tuple(chain(s, 1.0, 3.0 + s / 10, 3.1 + s / 10) for s in range(3)),  # grows and settles
        B: tuple(chain(s, 1.0, 2.0 + s / 10, 9.0 + s / 10) for s in range(3)),  # grows and goes on
        C: tuple(chain(s, 1.0, 1.0, 0.9) for s in range(3)),  # was never harmed
    }
    settled = least_growth_after_harm(groups, FID, 0, 1, 2, 1.5)
    assert settled.value == pytest.approx((3.2 - FLOOR) / (3.1 - FLOOR))
    assert settled.note == "smallest in a"
    without = least_growth_after_harm({C: groups[C]}, FID, 0, 1, 2, 1.5)
    assert judge(without, Needed(high=1.25)) == ("inconclusive", "no group grew 1.5 times or more between 0 and 1")
    assert least_growth_after_harm({C: groups[C]}, FID, 0, 1, 5, 1.5).note == without.note
    assert judge(least_growth_after_harm(groups, FID, 0, 7, 8, 1.5), Needed(high=1.25))[0] == "not run"


def test_what_is_left_of_a_gap_and_of_a_harm() -> None:
    groups: Groups = {
        A: tuple(chain(s, 5.0, 2.0) for s in range(3)),
        B: tuple(chain(s, 1.0, 1.0) for s in range(3)),
        C: tuple(chain(s, 9.0, 6.0) for s in range(3)),
    }
    assert gap_left(groups, FID, A, B, 0, 1).value == pytest.approx((2 - 1) / (5 - 1))
    assert share_left(groups, FID, A, C, B, 1).value == pytest.approx((2 - 1) / (6 - 1))


def test_a_trend_is_the_rank_correlation_with_the_setting() -> None:
    groups: Groups = {
        name: tuple(chain(s, value, ratio=dose) for s in range(3))
        for name, dose, value in ((A, 1.0, 3.0), (B, 0.0, 1.0), (C, 0.5, 7.0))
    }
    assert trend(groups, FID, "ratio", 0).value == pytest.approx(0.5)  # ranks 3, 1, 2 against 2, 1, 3
    with pytest.raises(UserError, match="needs three groups or more with a number of their own as lam; got None"):
        trend(groups, FID, "lam", 0)


def test_spreads_over_seeds_and_over_classes() -> None:
    wide, narrow = (1.0, 5.0, 3.0), (2.0, 4.0, 3.0)
    groups: Groups = {
        A: tuple(chain(s, value) for s, value in enumerate(wide)),
        B: tuple(chain(s, value) for s, value in enumerate(narrow)),
    }
    assert spread_over_seeds(groups, FID, A, B, 0).value == pytest.approx(2)
    share = "seen/classifier/class_share_"
    uneven = run({f"{share}0": [0.75], f"{share}0_lo": [0.7], f"{share}1": [0.25]}, 0)
    even = run({f"{share}0": [0.5], f"{share}1": [0.5]}, 0)
    measured = class_dispersion({A: (uneven,), B: (even,)}, MetricName(f"{share}0"), A, B, 0)
    assert measured.value == pytest.approx(math.sqrt(2 * 2 * 0.25**2))


def test_one_metric_over_another_of_the_same_run() -> None:
    runs = tuple(run({"all/x": [2.0 * 4**s], "all/y": [1.0]}, s, prints={}) for s in range(3))
    assert share_of_level({A: runs}, MetricName("all/x"), MetricName("all/y"), A, 0).value == pytest.approx(8)


def test_groups_of_different_features_are_not_compared_and_within_a_group_growth_is() -> None:
    other = {"classifier": {**PRINT, "weights": "9a8b7c6d5e4f3a2b"}}
    values = {FID: [1.0, 2.0], f"{FID}_floor": [FLOOR, FLOOR]}
    groups: Groups = {
        A: tuple(run(values, s) for s in range(3)),
        B: tuple(run(values, s, prints=other) for s in range(3)),
    }
    with pytest.raises(UserError, match="must not be compared"):
        times_excess(groups, FID, A, B, 1)
    assert least_excess_growth(groups, FID, 0, 1).value == pytest.approx(3)
