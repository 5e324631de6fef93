from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collapse_lab.engine.pool import Block, Pool
from collapse_lab.errors import UserError
from collapse_lab.mixing.interacting import PRIVATE, PUBLIC, Interacting
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, UNBORN, DrawRequest, Provenance
from tests.mixing.cases import no_samples

NAMES = ("a", "b", "c")
EACH = 30  # private rows of each member, rows of the public, and rows of each model in each generation


def pool_of(member: int) -> Provenance:
    """Return what one of three members sees of the pool of generation 2."""
    owners = np.repeat([0, 1, 2, 3], EACH)
    pool = Pool()
    pool.append(Block("real", REAL, UNBORN, owners, no_samples, None, None, owners))
    for born in (0, 1):
        for source in (1, 2, 3):
            pool.append(Block(f"{born}/{source}", source, born, np.zeros(EACH, np.int64), no_samples))
    seen = pool.provenance()
    return seen.where(np.isin(seen.owner, [0, member]))


def request_of(member: int = 1, generation: int = 2, n: int = 48, exposure: Any = None) -> DrawRequest:
    shares = exposure or dict.fromkeys((1, 2, 3), 1 / 3)
    return DrawRequest(generation, n, Seeds(0, generation, NAMES[member - 1], "mix"), np.zeros(0, int), shares, member)


def drawn(policy: Interacting, member: int = 1, **changes: Any) -> Provenance:
    pool, request = pool_of(member), request_of(member, **changes)
    ids = policy.draw(pool, request)
    assert len(set(ids.tolist())) == len(ids)
    rows = pool.where(np.isin(pool.ids, ids))
    assert (rows.synthetic.born == request.generation - 1).all()
    return rows


def counts(rows: Provenance) -> list[int]:
    """Return the numbers of private, public and each model's rows."""
    real = rows.real
    return [
        int((real.owner > 0).sum()),
        int((real.owner == 0).sum()),
        *(int((rows.source == k).sum()) for k in (1, 2, 3)),
    ]


def test_shares_of_the_paper_are_whole_numbers_of_rows() -> None:
    assert counts(drawn(Interacting(0.5, 0.75))) == [18, 6, 8, 8, 8]
    assert counts(drawn(Interacting(0.5, 0.75), generation=0, n=40)) == [30, 10, 0, 0, 0]
    assert counts(drawn(Interacting(0, 0.5))) == [24, 24, 0, 0, 0]
    assert counts(drawn(Interacting(1, 0.5), n=60)) == [0, 0, 20, 20, 20]
    assert counts(drawn(Interacting(0.5), exposure={1: 0.0, 2: 0.25, 3: 0.75})) == [12, 12, 0, 6, 18]


def test_a_row_of_shares_replaces_alpha_beta_and_the_exposure() -> None:
    policy = Interacting(0.9, 0.9, shares={"a": [0.25, 0.25, 0, 0.5, 0]})
    assert counts(drawn(policy)) == [12, 12, 0, 24, 0]
    assert counts(drawn(policy, generation=0, n=40)) == [20, 20, 0, 0, 0]
    assert policy.row("b", {1: 0.0, 2: 1.0, 3: 0.0}, 1) == pytest.approx(
        {PRIVATE: 0.09, PUBLIC: 0.01, 1: 0, 2: 0.9, 3: 0}
    )


def test_members_of_a_shared_draw_train_on_the_same_generated_rows() -> None:
    shared = [drawn(Interacting(0.5), member).synthetic.ids.tolist() for member in (1, 2, 3)]
    assert shared[0] == shared[1] == shared[2]
    fewer = drawn(Interacting(0.25), 2).synthetic.ids.tolist()
    assert set(fewer) < set(shared[0])
    other = drawn(Interacting(0.5), 1, generation=1).synthetic.ids
    assert not set(other.tolist()) & set(shared[0])


def test_members_with_a_draw_of_their_own_share_no_generated_row() -> None:
    own = [set(drawn(Interacting(0.5, draw="own"), member).synthetic.ids.tolist()) for member in (1, 2, 3)]
    assert [len(ids) for ids in own] == [24] * 3
    assert not own[0] & own[1] | own[1] & own[2] | own[0] & own[2]
    with pytest.raises(UserError, match="12 rows of model 1 are asked for and there are 10"):
        drawn(Interacting(1, draw="own"), n=24, exposure={1: 0.5, 2: 0.5, 3: 0.0}, member=2)


def test_where_nobody_knows_who_made_a_row_the_pool_is_drawn_from_as_a_whole() -> None:
    pools = [counts(drawn(Interacting(0.5, pool="hidden"), generation=g))[2:] for g in (1, 2)]
    assert [sum(pool) for pool in pools] == [24, 24]
    assert any(len(set(pool)) > 1 for pool in pools)  # exact shares are 8, 8, 8
    assert counts(drawn(Interacting(0.5, pool="hidden"), exposure={1: 0.0, 2: 0.1, 3: 0.9}))[2] == 0


@pytest.mark.parametrize("draw", ["shared", "own"])
def test_weights_give_each_source_its_share_whatever_its_rows(draw: Any) -> None:
    policy, pool, request = Interacting(0.3, 0.6, by="weights", draw=draw), pool_of(2), request_of(2)
    ids = policy.draw(pool, request)
    weights = policy.weigh(pool, request, ids)
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    rows = pool.where(np.searchsorted(pool.ids, ids))
    shares = [weights[mask].sum() / len(ids) for mask in (rows.owner == 2, (rows.source == 0) & (rows.owner == 0))]
    assert shares == pytest.approx([0.7 * 0.6, 0.7 * 0.4])
    for source in (1, 2, 3):
        assert weights[rows.source == source].sum() / len(ids) == pytest.approx(0.1)
    assert len(ids) == 2 * EACH + 3 * (EACH if draw == "shared" else EACH // 3)
    assert Interacting(0.3).weigh(pool, request, ids) is None


def test_sources_without_a_share_give_no_row_and_no_weight() -> None:
    policy, pool, request = Interacting(1, by="weights"), pool_of(1), request_of(exposure={1: 0.0, 2: 1.0, 3: 0.0})
    ids = policy.draw(pool, request)
    assert set(pool.where(np.isin(pool.ids, ids)).source.tolist()) == {2}
    assert policy.weigh(pool, request, ids) == pytest.approx(np.ones(EACH))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.5, 0.5, 0.5], "mixing.shares.a holds shares .* whose sum is 1.5"),
        ([1.5, -0.5, 0], "which sum to 1"),
        ([0, 0, 0, 0, 0], "whose sum is 0"),
        ([float("nan"), 1], "which sum to 1"),
    ],
)
def test_shares_that_do_not_sum_to_1_are_refused(shares: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Interacting(0.5, shares={"a": shares})


def test_draws_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(UserError, match=r"holds 5 shares: .* one for each of 3 models; got 2"):
        Interacting(0.5, shares={"a": [0.5, 0.5]}).check_members(NAMES)
    with pytest.raises(UserError, match=r"mixing\.shares names no member: 'd'; known: a, b, c"):
        Interacting(0.5, shares={"d": [0.5, 0.5, 0, 0, 0]}).check_members(NAMES)
    with pytest.raises(UserError, match=r"share of 0.00333\d*, which is no row of n_train=48; raise n_train to 301"):
        drawn(Interacting(0.01))
    nobody = pool_of(1).where(pool_of(1).owner == 0)
    with pytest.raises(UserError, match=r"'a' has a share of 0.25 for private rows of 'a', and there are none"):
        Interacting(0.5).draw(nobody, request_of())
    few, more = pool_of(1).where(pool_of(1).source != 2), r"for rows of model 2, and there are none; "
    with pytest.raises(UserError, match=more + r"a model that was absent .* \(population\.present\) has made none"):
        Interacting(0.5, shares={"a": [0.25, 0.25, 0, 0.5, 0]}).draw(few, request_of())
    with pytest.raises(UserError, match=more + "raise n_samples, or"):
        Interacting(0.5).draw(few, request_of())
