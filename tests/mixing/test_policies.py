from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.accumulate_subsample import AccumulateSubsample
from collapse_lab.mixing.augment import Augment
from collapse_lab.mixing.base import apportion
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.fresh import Fresh
from collapse_lab.mixing.replace import Replace
from tests.mixing.cases import SHARES, Drawn, World, exposures, node, worlds


def enough(world: World, exposure: dict[int, float], synthetic: int) -> bool:
    """Return whether each source has sampled as many rows as its share of `synthetic` needs."""
    return max(apportion(synthetic, exposure).values()) <= world.n_samples


def check_latest(world: World, drawn: Drawn, exposure: dict[int, float], k: int) -> None:
    """Check that k synthetic rows are drawn, all of the generation before, each source with its exact share."""
    assert (drawn.synthetic.born == world.generation - 1).all()
    counts = {source: int((drawn.synthetic.source == source).sum()) for source in exposure}
    assert counts == apportion(k, exposure)


@given(worlds(later=True), st.integers(1, 80), st.data())
def test_replace_draws_the_latest_generation_and_nothing_else(world: World, n: int, data: st.DataObject) -> None:
    exposure = data.draw(exposures(world.sources))
    if not enough(world, exposure, n):
        with pytest.raises(UserError, match="synthetic rows of source"):
            world.draw(Replace(), n, exposure)
        return
    drawn = world.draw(Replace(), n, exposure)
    assert len(drawn.real) == 0
    check_latest(world, drawn, exposure, n)


@given(worlds(later=True), SHARES, st.integers(1, 80), st.data())
def test_contaminate_draws_exactly_its_synthetic_share(world: World, ratio: float, n: int, data: st.DataObject) -> None:
    k = round(ratio * n)
    assume(ratio == 0 or k > 0)
    exposure = data.draw(exposures(world.sources))
    if n - k > len(world.usable) or not enough(world, exposure, k):
        with pytest.raises(UserError, match="are asked for and there are") as refused:
            world.draw(Contaminate(ratio), n, exposure)
        if most := re.search(r"lower n_train to (\d+) or less", str(refused.value)):
            # One more, because the share of the training set that is refused was rounded too
            assert int(most[1]) - round(ratio * int(most[1])) <= len(world.usable) + 1
        return
    drawn = world.draw(Contaminate(ratio), n, exposure)
    assert (len(drawn.real), len(drawn.synthetic)) == (n - k, k)
    assert np.isin(drawn.real, world.usable).all()
    check_latest(world, drawn, exposure, k)


@given(worlds(), st.data())
def test_rows_at_a_higher_ratio_are_nested_in_those_at_a_lower_ratio(world: World, data: st.DataObject) -> None:
    assume(len(world.usable) > 0)
    n = data.draw(st.integers(1, len(world.usable)))
    low, high = sorted(data.draw(st.integers(0, n)) / n for _ in range(2))
    exposure = {1: 1.0}
    assume(round(high * n) <= world.n_samples)
    cleaner, dirtier = (world.draw(Contaminate(ratio), n, exposure) for ratio in (low, high))
    assert set(dirtier.real) <= set(cleaner.real)
    assert set(cleaner.synthetic.ids) <= set(dirtier.synthetic.ids)


@given(worlds(later=True), st.floats(0, 3), st.data())
def test_augment_draws_all_real_rows_and_its_synthetic_share(world: World, lam: float, data: st.DataObject) -> None:
    k = round(lam * len(world.usable))
    assume(lam == 0 or k > 0)
    exposure = data.draw(exposures(world.sources))
    if not enough(world, exposure, k):
        with pytest.raises(UserError, match="synthetic rows of source"):
            world.draw(Augment(lam), 1, exposure)
        return
    drawn = world.draw(Augment(lam), 1, exposure)
    assert set(drawn.real) == set(world.usable)
    assert len(drawn.synthetic) == k
    check_latest(world, drawn, exposure, k)


@given(worlds(), st.floats(1e-6, 0.5))
def test_a_lambda_that_gives_no_row_is_refused_with_the_smallest_that_works(world: World, rows: float) -> None:
    assume(len(world.usable) > 0)
    lam = rows / len(world.usable)
    with pytest.raises(UserError, match="rounds to no synthetic row") as refused:
        world.draw(Augment(lam), 1)
    works = float(re.findall(r"smallest that works is (\S+)", str(refused.value))[0])
    assert len(world.draw(Augment(works), 1).synthetic) == 1


def test_augment_refuses_a_negative_lambda() -> None:
    with pytest.raises(UserError, match=r"mixing\.lam is in \[0, 1000000\.0\]; got -0\.1"):
        bind(node(Augment, lam=-0.1), "mixing")


@given(worlds(), st.data())
def test_accumulate_draws_every_row_so_far(world: World, data: st.DataObject) -> None:
    exposure = data.draw(exposures(world.sources))
    drawn = world.draw(Accumulate(), 1, exposure)
    exposed = sum(share > 0 for share in exposure.values())
    assert set(drawn.real) == set(world.usable)
    assert len(drawn.synthetic) == world.generation * exposed * world.n_samples


@given(worlds(), st.integers(1, 120), st.data())
def test_accumulate_subsample_draws_n_of_the_accumulated_rows(world: World, n: int, data: st.DataObject) -> None:
    exposure = data.draw(exposures(world.sources))
    everything = world.draw(Accumulate(), 1, exposure).ids
    if n > len(everything):
        with pytest.raises(UserError, match=f"{n} accumulated rows are asked for and there are {len(everything)}"):
            world.draw(AccumulateSubsample(), n, exposure)
        return
    drawn = world.draw(AccumulateSubsample(), n, exposure)
    assert len(drawn.ids) == n
    assert set(drawn.ids) <= set(everything)


def test_the_real_share_of_a_subsample_falls_as_one_over_the_generation() -> None:
    eligible = np.ones(2000, bool)
    for generation in (1, 3):
        world = World(generation, 1, 2000, eligible, 2000, seed=0)
        real = len(world.draw(AccumulateSubsample(), 2000).real)
        share = 1 / (generation + 1)
        # Five standard deviations of the binomial, which spreads more than a draw without replacement
        assert abs(real - 2000 * share) < 5 * np.sqrt(2000 * share * (1 - share))


@given(worlds(later=True), SHARES, st.integers(1, 40))
def test_fresh_never_uses_a_real_row_twice(world: World, ratio: float, n: int) -> None:
    k = round(ratio * n)
    assume(ratio == 0 or k > 0)
    exposure = {1: 1.0}
    assume(k <= world.n_samples)
    if (n - k) * world.generation > world.unused:
        with pytest.raises(UserError, match=f"and there are {world.unused}"):
            world.draw(Fresh(ratio), n, exposure)
        return
    used = set(world.originals)
    for generation in range(1, world.generation + 1):
        earlier = World(generation, world.sources, world.n_samples, world.eligible, world.initial, world.seed, True)
        drawn = earlier.draw(Fresh(ratio), n, exposure)
        assert not used & set(drawn.real)
        assert len(drawn.real) == n - k
        check_latest(earlier, drawn, exposure, k)
        used |= set(drawn.real)
