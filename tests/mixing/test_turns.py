"""Check that prompts take turns in stratified draws, by counting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.plan import Planner
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.turns import in_turns
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, DrawRequest, Provenance

NUMBERS = st.lists(st.integers(0, 6), min_size=1, max_size=60)


def pool_of(real: list[int], synthetic: list[int], sources: int = 1) -> Provenance:
    """Return real rows and the rows of generation 0, given the prompt of each row; prompts are labels too."""
    prompts = np.array(real + synthetic * sources, np.int64)
    source = np.repeat([REAL, *range(1, sources + 1)], [len(real), *[len(synthetic)] * sources])
    return Provenance(
        ids=np.arange(len(prompts)),
        source=source,
        born=np.where(source == REAL, -1, 0),
        labels=prompts,
        eligible=np.ones(len(prompts), bool),
        prompts=prompts,
        owner=np.zeros(len(prompts), np.int64),
    )


def unlabelled(pool: Provenance) -> Provenance:
    """Return a pool whose rows have captions alone."""
    return replace(pool, labels=np.full(len(pool), -1))


def drawn(pool: Provenance, ratio: float, n: int, seed: int = 0, generation: int = 1, sources: int = 1) -> Provenance:
    shares = dict.fromkeys(range(1, sources + 1), 1 / sources)
    request = DrawRequest(generation, n, Seeds(seed, generation, "model", "mix"), pool.real.ids, shares)
    pool = Provenance(
        pool.ids,
        pool.source,
        np.where(pool.source == REAL, -1, generation - 1),
        pool.labels,
        pool.eligible,
        pool.prompts,
        pool.owner,
    )
    ids = Contaminate(ratio, stratify=True).draw(pool, request)
    assert len(set(ids.tolist())) == len(ids) == n
    return pool.where(np.isin(pool.ids, ids))


def counts(rows: Provenance, prompts: int) -> np.ndarray:
    return np.bincount(rows.prompts, minlength=prompts)


@given(NUMBERS, st.integers(0, 2**32), st.data())
def test_the_first_rows_of_an_order_are_dealt_as_cards_are(prompts: list[int], seed: int, data: st.DataObject) -> None:
    turns = np.random.default_rng(seed).permutation(7)
    hands = {prompt: [row for row, own in enumerate(prompts) if own == prompt] for prompt in range(7)}
    dealt: list[int] = []
    while any(hands.values()):
        dealt += [hands[prompt].pop(0) for prompt in turns.tolist() if hands[prompt]]
    assert in_turns(np.array(prompts), turns).tolist() == dealt


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**40), st.integers(0, 100), st.integers(1, 100), st.data())
def test_every_prompt_gives_as_many_rows_up_to_one(
    prompts: int, rows: int, seed: int, percent: int, share: int, data: st.DataObject
) -> None:
    pool = pool_of([*range(prompts)] * rows, [*range(prompts)] * rows)
    n = max(1, prompts * rows * share // 100)
    k = round(percent / 100 * n)
    ratio = k / n
    training = drawn(pool, ratio, n, seed)
    for part in (training, training.real, training.synthetic):
        assert np.ptp(counts(part, prompts)) <= 1
    assert len(training.synthetic) == k


def test_one_image_of_each_of_30_groups_is_3_percent_of_900() -> None:
    training = drawn(pool_of([*range(30)] * 40, [*range(30)] * 30), 30 / 900, 900)
    assert counts(training.synthetic, 30).tolist() == [1] * 30
    assert counts(training.real, 30).tolist() == [29] * 30


def test_a_prompt_with_too_few_rows_gives_all_and_the_others_share_the_rest() -> None:
    training = drawn(pool_of([0] * 2 + [1] * 9 + [2] * 9, [0, 1, 2]), 0.0, 12)
    assert counts(training, 3).tolist() == [2, 5, 5]


@given(st.integers(1, 6), st.integers(0, 2**40), st.lists(st.integers(0, 24), min_size=2, max_size=2))
def test_stratified_rows_at_a_higher_ratio_are_nested_in_those_at_a_lower_ratio(
    prompts: int, seed: int, numbers: list[int]
) -> None:
    pool = pool_of([*range(prompts)] * 24, [*range(prompts)] * 24, sources=2)
    cleaner, dirtier = (drawn(pool, k / 24, 24, seed, sources=1) for k in sorted(numbers))
    assert set(dirtier.real.ids) <= set(cleaner.real.ids)
    assert set(cleaner.synthetic.ids) <= set(dirtier.synthetic.ids)


def test_each_source_gives_its_share_and_all_of_its_prompts() -> None:
    training = drawn(pool_of([0, 1, 2] * 9, [0, 1, 2] * 9, sources=3), 0.5, 36, sources=3)
    for source in (1, 2, 3):
        assert counts(training.where(training.source == source), 3).tolist() == [2, 2, 2]


def test_no_prompt_is_favoured_over_generations() -> None:
    # One synthetic row of five prompts, 2,000 times: a binomial count with mean 400 and standard error 18
    pool = pool_of([0, 1, 2, 3, 4] * 4, [0, 1, 2, 3, 4] * 4)
    favoured = Counter(
        int(drawn(pool, 0.1, 10, seed, generation).synthetic.prompts[0])
        for seed in range(40)
        for generation in range(1, 51)
    )
    assert sorted(favoured) == [0, 1, 2, 3, 4]
    assert max(abs(count - 400) for count in favoured.values()) < 4 * np.sqrt(2000 * 0.2 * 0.8)


def test_a_stratified_draw_without_prompts_is_refused() -> None:
    pool = pool_of([-1] * 8, [-1] * 8)
    with pytest.raises(UserError, match=r"the same prompt and no label; give mixing\.stratify=false"):
        drawn(pool, 0.5, 4)


@pytest.mark.parametrize("synthetic", [[0, 1, 2, 3], [0, 0, 1, 1, 2, 2, 3, 3]])
def test_a_stratified_draw_where_each_real_row_would_be_a_group_by_itself_is_refused(synthetic: list[int]) -> None:
    message = r"each of the 4 real rows has a caption of its own and no label.*dataset\.label_column=group"
    with pytest.raises(UserError, match=message):
        drawn(unlabelled(pool_of([0, 1, 2, 3], synthetic)), 0.5, 4)


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (pool_of([0, 1, 2, 3], [0, 1, 2, 3]), "the rows have labels"),
        (unlabelled(pool_of([0, 0, 1, 1], [0, 1])), "a caption is that of two real rows"),
        (unlabelled(pool_of([0, 1, 2, 3], [4, 5, 4, 5])), "the synthetic rows have prompts of their own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_stratified_draws_are_not_refused(pool: Provenance, why: str) -> None:
    drawn(pool, 0.5, 4)


@pytest.mark.parametrize("experiment", ["nepotistic", "nepotistic_healing"])
def test_the_nepotistic_presets_draw_as_many_images_of_each_seen_prompt(experiment: str) -> None:
    line = [f"+experiment={experiment}", "+scale=tiny", "n_train=40", "n_samples=40", "ratio=0.5", "device=cpu"]
    lab = build(compose(*line, "features=[pixels]", "metrics=[fid]", "sinks=[]").cfg, Alone())
    layout = lay_out(lab, Silent())
    planner = Planner(lab, layout.work)
    planner.steps()
    pool = planner._pool.provenance()
    assert len(np.unique(pool.where(pool.eligible).prompts)) == 20
    request = DrawRequest(1, 40, Seeds(0, 1, "model", "mix"), pool.real.ids, {1: 1.0})
    training = pool.where(np.isin(pool.ids, lab.mixing.draw(pool, request)))
    assert np.unique(training.synthetic.prompts, return_counts=True)[1].tolist() == [1] * 20
    assert np.unique(training.real.prompts, return_counts=True)[1].tolist() == [1] * 20
    assert set(training.real.prompts) == set(training.synthetic.prompts)
