from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.augment import Augment
from collapse_lab.mixing.base import Initial, Policy, apportion, choose, smallest_ratio, synthetic_count
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.fresh import Fresh
from collapse_lab.mixing.replace import Replace
from collapse_lab.seeds import Seeds
from collapse_lab.types import Provenance
from tests.mixing.cases import SHARES, World, exposures, node, worlds

SEEDS = Seeds(3, 1, "model", "mix")


def rows_with(ids: np.ndarray) -> Provenance:
    """Return real rows of one prompt."""
    zeros = np.zeros(len(ids), np.int64)
    return Provenance(ids, zeros, zeros - 1, zeros, zeros == 0, zeros, zeros)


@given(st.integers(0, 100_000), st.integers(1, 4).flatmap(exposures))
def test_shares_are_apportioned_exactly(n: int, shares: dict[int, float]) -> None:
    counts = apportion(n, shares)
    assert sum(counts.values()) == n
    assert counts.keys() == shares.keys()
    for source, share in shares.items():
        assert abs(counts[source] - n * share) < 1
        assert counts[source] == 0 or share > 0


@pytest.mark.parametrize(
    ("n", "shares", "expected"),
    [
        (10, {1: 0.5, 2: 0.5}, {1: 5, 2: 5}),
        (5, {1: 0.5, 2: 0.5}, {1: 3, 2: 2}),
        (10, {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}, {1: 4, 2: 3, 3: 3}),
        (100, {1: 0.07, 2: 0.93}, {1: 7, 2: 93}),  # 100 * 0.07 is 7.000000000000001
        (10, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}, {1: 1, 2: 2, 3: 3, 4: 4}),
        (3, {1: 0.0, 2: 1.0}, {1: 0, 2: 3}),
        (0, {1: 0.4, 2: 0.6}, {1: 0, 2: 0}),
    ],
)
def test_apportioned_numbers_equal_those_worked_by_hand(
    n: int, shares: dict[int, float], expected: dict[int, int]
) -> None:
    assert apportion(n, shares) == expected


@given(st.integers(1, 1_000_000), SHARES)
def test_the_number_of_synthetic_rows_is_the_rounded_share(n: int, ratio: float) -> None:
    if ratio > 0 and round(ratio * n) == 0:
        with pytest.raises(UserError, match="rounds to none") as refused:
            synthetic_count(ratio, n)
        works, raised = re.findall(r"works is (\S+), or raise n_train to (\d+)", str(refused.value))[0]
        assert synthetic_count(float(works), n) == 1
        assert synthetic_count(ratio, int(raised)) >= 1
    else:
        assert synthetic_count(ratio, n) == round(ratio * n)


@given(st.integers(1, 10_000_000))
def test_the_smallest_ratio_gives_one_row_and_a_smaller_one_gives_none(n: int) -> None:
    ratio = smallest_ratio(n)
    assert round(ratio * n) == 1
    assert float(f"{ratio:g}") == ratio
    # A ratio that is one less in its fourth digit gives no row
    less = float(f"{ratio - 10 ** (np.floor(np.log10(ratio)) - 3):.4g}")
    assert round(less * n) == 0


@pytest.mark.parametrize("ratio", [-0.1, 1.01, 50, float("nan"), float("inf")])
@pytest.mark.parametrize("policy", [Contaminate, Fresh])
def test_a_ratio_that_is_no_share_is_refused(policy: type, ratio: float) -> None:
    with pytest.raises(UserError, match=r"mixing\.ratio (is in \[0, 1\]|takes a finite number); got"):
        bind(node(policy, ratio=ratio), "mixing")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_choices_of_one_seed_are_nested(size: int, more: int, fewer: int) -> None:
    assume(fewer <= more <= size)
    ids = np.arange(size) * 3
    large, small = (choose(rows_with(ids), n, SEEDS, "rows") for n in (more, fewer))
    assert (large[:fewer] == small).all()
    assert len(np.unique(large)) == more
    assert np.isin(large, ids).all()


def test_a_draw_of_too_many_rows_is_refused_with_both_numbers() -> None:
    with pytest.raises(UserError, match="8 real rows are asked for and there are 7"):
        choose(rows_with(np.arange(7)), 8, SEEDS, "real rows")


def test_another_seed_generation_or_model_draws_other_rows() -> None:
    rows = rows_with(np.arange(1000))
    draws = [choose(rows, 10, Seeds(s, g, m, "mix"), "rows") for s in (0, 1) for g in (1, 2) for m in ("a", "b")]
    assert len({tuple(draw) for draw in draws}) == 8


@given(worlds(), st.integers(1, 80), st.sampled_from([None, "all", 5]))
def test_generation_0_trains_on_real_rows_only(world: World, n: int, initial: Initial) -> None:
    real = len(world.eligible)
    expected = {None: n, "all": real, 5: 5}[initial]
    for policy in (Contaminate(0.9, initial), Replace(initial), Accumulate(initial), Augment(2.0, initial)):
        request = world.request(n, generation=0)
        if expected > real:
            with pytest.raises(UserError, match=f"{expected} real rows are asked for and there are {real}"):
                policy.draw(world.pool, request)
            continue
        ids = policy.draw(world.pool, request)
        # Generation 0 may train on rows that are not eligible for later generations
        assert len(np.unique(ids)) == len(ids) == expected
        assert (ids < real).all()


@pytest.mark.parametrize("initial", [0, -3, "al", 1.5])
@pytest.mark.parametrize("policy", [Replace, Accumulate])
def test_a_wrong_initial_is_refused(policy: type, initial: object) -> None:
    with pytest.raises(UserError, match=r"mixing\.initial .*got"):
        bind(node(policy, initial=initial), "mixing")


@pytest.mark.parametrize("initial", [None, "all", 1, 600])
def test_a_number_of_rows_all_and_null_are_accepted_as_initial(initial: Initial) -> None:
    assert Replace(**bind(node(Replace, initial=initial), "mixing")["arguments"]).initial == initial


def test_a_policy_has_to_define_only_the_draws_of_later_generations() -> None:
    assert Policy.__abstractmethods__ == {"later"}
    assert (Replace().horizon, Accumulate().horizon) == (1, None)
