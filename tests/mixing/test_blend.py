from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError
from collapse_lab.mixing.blend import Blend, Parts
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.replace import Replace
from tests.mixing.cases import World, node

ALL = np.ones(40, bool)


def world(generation: int, real: int = 40) -> World:
    return World(generation, 1, 40, np.ones(real, bool), real, seed=5)


@st.composite
def shares(draw: st.DrawFn) -> tuple[float, float, float]:
    """Draw three shares that sum to 1; some may be 0."""
    weights = [draw(st.integers(0, 6)) for _ in range(3)]
    weights[draw(st.integers(0, 2))] += 1
    latest, previous, original = (weight / sum(weights) for weight in weights)
    return latest, previous, original


def test_the_parts_equal_those_worked_by_hand() -> None:
    blend = Blend(0.5, 0.25, 0.25)
    assert blend.parts(40, 40, 0) == Parts(20, 10, 0, 10)
    assert blend.parts(40, 20, 20) == Parts(20, 5, 5, 10)
    assert blend.parts(40, 15, 25) == Parts(20, 4, 6, 10)
    assert blend.parts(3, 3, 0) == Parts(1, 1, 0, 1)  # the largest remainders: 1.5, 0.75, 0.75


@given(shares(), st.integers(1, 5), st.integers(8, 30), st.integers(0, 10), st.integers(0, 2**40))
def test_every_part_has_its_exact_count_and_no_row_stands_twice(
    parts: tuple[float, float, float], generations: int, n: int, ineligible: int, seed: int
) -> None:
    assume(all(share == 0 or share * n >= 1 for share in parts))
    blend, eligible = Blend(*parts), np.arange(n + 10) >= ineligible
    before, real, synthetic = set(np.flatnonzero(eligible)), int(eligible.sum()), 0
    for generation in range(1, generations + 1):
        drawn = World(generation, 1, n, eligible, n + 10, seed, later=True).draw(blend, n)
        expected = blend.parts(n, real, synthetic)
        kept = before & set(drawn.synthetic.ids)
        new = drawn.synthetic.where(~np.isin(drawn.synthetic.ids, sorted(kept)))
        assert len(drawn.ids) == n
        assert (len(new), len(kept)) == (expected.latest, expected.kept_synthetic)
        assert (new.born == generation - 1).all()
        assert len(drawn.real) == expected.kept_real + expected.drawn
        assert len(before & set(drawn.real)) >= expected.kept_real
        before, real, synthetic = set(drawn.ids), len(drawn.real), len(drawn.synthetic)


def test_without_kept_rows_it_draws_what_contaminate_draws_and_without_others_what_replace_draws() -> None:
    for generation in (1, 2, 5):
        at = world(generation)
        assert set(at.draw(Blend(0.3, 0, 0.7), 20).ids) == set(at.draw(Contaminate(0.3), 20).ids)
        assert set(at.draw(Blend(1, 0, 0), 20).ids) == set(at.draw(Replace(), 20).ids)


def test_a_set_that_is_kept_whole_never_changes() -> None:
    drawn = [set(world(generation).draw(Blend(0, 1, 0), 40).ids) for generation in (1, 4)]
    assert drawn == [set(range(40))] * 2


def test_without_original_rows_the_real_ones_die_out_by_halves() -> None:
    real = [len(world(generation).draw(Blend(0.5, 0.5, 0), 40).real) for generation in range(1, 7)]
    assert real == [20, 10, 5, 3, 2, 1]
    ages = world(3).draw(Blend(0.5, 0.5, 0), 40).synthetic.born
    assert np.bincount(ages).tolist()[2] == 20


def test_a_policy_that_goes_on_draws_what_a_new_one_draws() -> None:
    going_on = Blend(0.4, 0.35, 0.25)
    for at in [world(1), world(2), world(5), world(3), World(4, 1, 40, ALL, 40, seed=6), world(4)]:
        assert (going_on.draw(at.pool, at.request(30)) == Blend(0.4, 0.35, 0.25).draw(at.pool, at.request(30))).all()
    # Fewer rows in each generation: another history under the same seed
    other = World(5, 1, 35, ALL, 40, seed=5)
    assert (
        going_on.draw(other.pool, other.request(30)) == Blend(0.4, 0.35, 0.25).draw(other.pool, other.request(30))
    ).all()


@pytest.mark.parametrize(
    ("parts", "mend"),
    [
        ((0.5, 0.3, 0.3), r"0\.5 \+ 0\.3 \+ 0\.3 = 1\.1: give mixing\.original=0\.2$"),
        ((0.2, 0.2, 0.2), r"= 0\.6: give mixing\.original=0\.6$"),
        ((0.8, 0.8, 0.0), r"= 1\.6: lower mixing\.latest or mixing\.previous$"),
    ],
    ids=str,
)
def test_shares_that_do_not_sum_to_1_are_refused_with_the_remedy(parts: tuple[float, float, float], mend: str) -> None:
    with pytest.raises(UserError, match=mend):
        Blend(*parts)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_number_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"mixing\.previous (is in \[0, 1\]|takes a finite number)"):
        bind(node(Blend, latest=0.5, previous=share, original=0.5), "mixing")


def test_a_share_that_gives_no_row_is_refused_with_a_size_that_works() -> None:
    blend = Blend(0.9, 0.04, 0.06)
    with pytest.raises(UserError, match=r"mixing\.previous=0\.04 of n_train=10 gives no row") as refused:
        blend.parts(10, 10, 0)
    works = int(re.findall(r"raise n_train to (\d+)", str(refused.value))[0])
    assert blend.parts(works, works, 0).kept_real > 0


def test_more_kept_rows_than_the_set_before_held_are_refused() -> None:
    at = World(1, 1, 80, ALL, 10, seed=0)
    with pytest.raises(UserError, match="20 real rows of the previous training set are asked for and there are 10"):
        at.draw(Blend(0.5, 0.5, 0), 40)
