from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.phases import Phase, Phases
from collapse_lab.mixing.replace import Replace
from tests.mixing.cases import World

ELIGIBLE = np.arange(40) % 4 > 0


def world(generation: int) -> World:
    return World(generation, 1, 30, ELIGIBLE, 40, seed=5)


@given(st.sets(st.integers(0, 12), max_size=4), st.integers(1, 14))
def test_a_generation_is_drawn_by_the_first_phase_that_has_not_ended(bounds: set[int], generation: int) -> None:
    untils: list[int | None] = [*sorted(bounds), None]
    ratios = [0.1 * (i + 1) for i in range(len(untils))]
    schedule = Phases([Phase(Contaminate(r), until) for r, until in zip(ratios, untils, strict=True)])
    expected = next(r for r, until in zip(ratios, untils, strict=True) if until is None or generation <= until)
    drawn = world(generation).draw(schedule, 20)
    assert len(drawn.synthetic) == round(expected * 20)
    # A phase draws what its policy alone would draw, so a healed chain shares stages with the contaminated chain
    assert (drawn.ids == world(generation).draw(Contaminate(expected), 20).ids).all()


def test_healing_draws_real_rows_only_after_its_first_phase() -> None:
    heal = Phases([Phase(Contaminate(0.5), until=2), Phase(Contaminate(0))], initial="all")
    synthetic = [len(world(generation).draw(heal, 20).synthetic) for generation in (1, 2, 3, 4)]
    assert synthetic == [10, 10, 0, 0]
    assert len(heal.draw(world(1).pool, world(1).request(20, generation=0))) == 40


def test_the_horizon_is_the_longest_of_the_phases() -> None:
    assert Phases([Phase(Replace(), 3), Phase(Contaminate(0.5))]).horizon == 1
    assert Phases([Phase(Replace(), 3), Phase(Accumulate())]).horizon is None
    assert Phases([Phase(Accumulate(), 3), Phase(Replace())]).horizon is None


@pytest.mark.parametrize("untils", [[], [3], [None, None], [3, 2, None], [3, 3, None], [1, None, 3], [None, 2, None]])
def test_phases_whose_ends_do_not_rise_are_refused(untils: list[int | None]) -> None:
    with pytest.raises(UserError, match=r"mixing\.phases"):
        Phases([Phase(Replace(), until) for until in untils])


def test_a_policy_that_weighs_rows_is_no_phase() -> None:
    with pytest.raises(UserError, match=r"Interacting draws generation 0 and weighs rows itself, which no phase can"):
        Phases([Phase(Interacting(0.5))])
