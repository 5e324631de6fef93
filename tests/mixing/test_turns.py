"""Check that prompts or labels take turns in stratified draws, by counting."""

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
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.phases import Phase, Phases
from collapse_lab.mixing.turns import Stratify, Turns, in_turns
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, DrawRequest, Provenance
from tests.e2e.faces import write_faces
from tests.models.tiny_pipelines import write_pipeline

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


def drawn(
    pool: Provenance,
    ratio: float,
    n: int,
    seed: int = 0,
    generation: int = 1,
    sources: int = 1,
    stratify: Stratify = True,
) -> Provenance:
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
    ids = Contaminate(ratio, stratify=stratify).draw(pool, request)
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


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60), st.integers(0, 2**32))
def test_labels_are_dealt_as_cards_are_from_hands_that_captions_were_dealt_into(
    rows: list[tuple[int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels, prompts = np.array([label for label, _ in rows]), np.array([3 * label + text for label, text in rows])
    turns = Turns(rng.permutation(12), rng.permutation(4))
    dealt = in_turns(prompts, turns.prompts).tolist()
    hands = {label: [row for row in dealt if labels[row] == label] for label in range(4)}
    expected: list[int] = []
    assert turns.labels is not None
    while any(hands.values()):
        expected += [hands[label].pop(0) for label in turns.labels.tolist() if hands[label]]
    assert turns.order(prompts, labels).tolist() == expected


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


def captioned(captions: list[int], rows: int) -> Provenance:
    """Return a pool of as many rows of each caption, real and synthetic, where labels have so many captions."""
    prompts = [*range(sum(captions))] * rows
    labels = np.repeat(np.arange(len(captions)), captions)
    return replace(pool_of(prompts, prompts), labels=np.tile(labels, 2 * rows))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 2**40), st.data())
def test_every_label_gives_as_many_rows_up_to_one_and_so_do_the_captions_of_a_label(
    captions: list[int], rows: int, seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(captions) * min(captions) * rows))
    k = data.draw(st.integers(0, n))
    training = drawn(captioned(captions, rows), k / n, n, seed, stratify="labels")
    assert len(training.synthetic) == k
    for part in (training, training.real, training.synthetic):
        assert np.ptp(np.bincount(part.labels, minlength=len(captions))) <= 1
        for own in np.split(counts(part, sum(captions)), np.cumsum(captions)[:-1]):
            assert np.ptp(own) <= 1


def test_a_label_with_more_captions_gives_more_rows_only_where_prompts_are_the_strata() -> None:
    by_prompt, by_label = (drawn(captioned([1, 3], 6), 0.5, 8, stratify=strata) for strata in (True, "labels"))
    assert np.bincount(by_prompt.synthetic.labels).tolist() == np.bincount(by_prompt.real.labels).tolist() == [1, 3]
    assert np.bincount(by_label.synthetic.labels).tolist() == np.bincount(by_label.real.labels).tolist() == [2, 2]


def first_set(policy: Policy, pool: Provenance, n: int) -> np.ndarray:
    """Return the ids of the real rows that generation 0 draws."""
    none = np.zeros(0, np.int64)
    return policy.draw(pool.real, DrawRequest(0, n, Seeds(0, 0, "model", "mix"), none, {1: 1.0}))


@pytest.mark.parametrize(("stratify", "each"), [(True, [5, 5, 5, 5]), ("labels", [10, 4, 3, 3])])
def test_generation_0_draws_as_many_real_rows_of_every_stratum(stratify: Stratify, each: list[int]) -> None:
    # Far more rows of the first prompt, which alone has the first label
    real = pool_of([0] * 200 + [1] * 20 + [2] * 20 + [3] * 20, [])
    pool = replace(real, labels=(real.prompts > 0).astype(np.int64))
    policy = Contaminate(0.5, stratify=stratify)
    ids = first_set(policy, pool, 20)
    assert sorted(counts(pool.where(np.isin(pool.ids, ids)), 4).tolist(), reverse=True) == each
    # A chain that is to heal shares generation 0 with one that is not
    assert first_set(Phases([Phase(policy, 1), Phase(Contaminate(0))]), pool, 20).tolist() == ids.tolist()


@pytest.mark.parametrize("stratify", [True, "labels"])
def test_all_real_rows_are_in_the_same_order_whatever_the_strata(stratify: Stratify) -> None:
    pool = pool_of([0] * 9 + [1] * 3, [])
    plain, stratified = (first_set(Contaminate(0.5, "all", strata), pool, 4) for strata in (False, stratify))
    assert stratified.tolist() == plain.tolist()


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


@pytest.mark.parametrize("void", ["real", "generated"])
def test_labels_do_not_take_turns_where_a_row_has_none(void: str) -> None:
    pool = pool_of([0, 1, 2, 3], [0, 1, 2])
    rows = pool.source == REAL if void == "real" else pool.source != REAL
    some = replace(pool, labels=np.where(rows & (pool.prompts == 1), -1, pool.labels))
    with pytest.raises(
        UserError, match=rf"stratify=labels .* 1 of the [34] {void} rows have none; .*contaminate_evenly"
    ):
        drawn(some, 0.5, 4, stratify="labels")


def test_real_rows_that_no_later_generation_trains_on_need_no_label() -> None:
    pool = pool_of([-1, 1, 2, 3], [1, 2, 3])
    drawn(replace(pool, eligible=pool.prompts >= 0), 0.5, 4, stratify="labels")


def training_sets(monkeypatch: pytest.MonkeyPatch, *line: str) -> list[Provenance]:
    """Return what each generation of a run would be trained on, as its own plan draws it."""
    lab = build(compose(*line, "device=cpu", "features=[pixels]", "metrics=[fid]", "sinks=[]").cfg, Alone())
    draw, sets = lab.mixing.draw, []

    def recording(pool: Provenance, request: DrawRequest) -> np.ndarray:
        ids = draw(pool, request)
        sets.append(pool.where(np.isin(pool.ids, ids)))
        return ids

    monkeypatch.setattr(lab.mixing, "draw", recording)
    lay_out(lab, Silent())
    return sets


@pytest.mark.parametrize("experiment", ["nepotistic", "nepotistic_healing"])
def test_the_nepotistic_presets_draw_as_many_images_of_each_seen_prompt(
    monkeypatch: pytest.MonkeyPatch, experiment: str
) -> None:
    line = [f"+experiment={experiment}", "+scale=tiny", "n_train=40", "n_samples=40", "ratio=0.5"]
    training = training_sets(monkeypatch, *line)[1]
    assert np.unique(training.synthetic.prompts, return_counts=True)[1].tolist() == [1] * 20
    assert np.unique(training.real.prompts, return_counts=True)[1].tolist() == [1] * 20
    assert set(training.real.prompts) == set(training.synthetic.prompts)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return overrides that name faces of two groups, of which one has twice as many pictures, and three prompts."""
    place = tmp_path_factory.mktemp("faces")
    prompts = (["a photo of an {}"], ["a photo of a {}", "a portrait of a {}", "a {}"])
    root, pipeline = write_faces(place / "faces", [30, 60], prompts), write_pipeline(place / "sd", "2.x")
    return [f"dataset.root={root}", f"model.pretrained={pipeline}", "dataset.image_size=8", f"paths.data={place}"]


@pytest.mark.parametrize("mixing", [[], ["mixing=heal_by_label"]], ids=["chain", "healing"])
def test_the_faces_preset_draws_as_many_images_of_each_group(
    monkeypatch: pytest.MonkeyPatch, faces: list[str], mixing: list[str]
) -> None:
    # One own image of each group, as 3.3 % of 900 is with 30 groups
    line = [
        "+experiment=nepotistic_faces",
        *faces,
        *mixing,
        "n_train=24",
        "n_samples=24",
        "generations=2",
        "ratio=0.09",
    ]
    groups = [
        [np.bincount(part.labels, minlength=2).tolist() for part in (training.real, training.synthetic)]
        for training in training_sets(monkeypatch, *line)
    ]
    mixed = [[11, 11], [1, 1]]
    assert groups == [[[12, 12], [0, 0]], mixed, [[12, 12], [0, 0]] if mixing else mixed]
