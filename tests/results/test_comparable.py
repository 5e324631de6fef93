from __future__ import annotations

import itertools
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.comparable import comparable_groups, differences, group_differences, require_comparable
from collapse_lab.results.compared import compared
from collapse_lab.results.run import Run
from tests.results.memory_runs import METRIC, PRINT, run

OTHER = {**PRINT, "weights": "9a8b7c6d5e4f3a2b"}
SMALL = {**PRINT, "seen": {"n": 64}}
WEIGHTS = "the weights of classifier features are 1f2e3d… here and 9a8b7c… there"
PIXELS = {"extractor": "pixels", "resize": None}


def test_differences_are_described_in_plain_words() -> None:
    assert differences({"classifier": PRINT}, {"classifier": {**OTHER, "seen": {"n": 64}}}) == [
        WEIGHTS,
        "600 samples are measured here and 64 there for seen prompts",
    ]
    assert differences({"pixels": PIXELS}, {"pixels": {**PIXELS, "resize": [8, 8]}}) == [
        "the resize of pixels features is none here and [8, 8] there"
    ]
    assert differences({"pixels": {**PIXELS, "torch": "2.11"}}, {"pixels": PIXELS}) == [
        "the version of torch of pixels features is 2.11 here and none there"
    ]


def test_a_feature_space_that_only_one_run_has_is_no_difference() -> None:
    fewer = {key: value for key, value in PRINT.items() if key != "unseen"}
    assert differences({"classifier": PRINT, "pixels": PIXELS}, {"classifier": fewer}) == []
    assert differences({"classifier": PRINT}, {"pixels": PIXELS}) == []
    assert differences({}, {"classifier": PRINT}) == []


def test_each_run_is_in_one_group_and_no_group_has_a_pair_that_differs() -> None:
    prints: list[dict[str, Any]] = [
        {"pixels": PIXELS},
        {"classifier": PRINT},
        {"classifier": OTHER, "pixels": PIXELS},
        {},
        {"classifier": PRINT, "pixels": PIXELS},
        {"classifier": SMALL},
    ]
    runs = [run({METRIC: [1.0]}, seed, print_) for seed, print_ in enumerate(prints)]
    for order in itertools.permutations(runs):
        groups = comparable_groups(order)
        assert sorted(r.seed for group in groups for r in group) == list(range(6))
        for group in groups:
            assert [r.seed for r in order if r in group] == [r.seed for r in group]
            assert not any(differences(a.fingerprints, b.fingerprints) for a, b in itertools.combinations(group, 2))
        assert len(groups) == 3
    first, second = (next(group for group in comparable_groups(runs) if runs[i] in group) for i in (1, 2))
    assert group_differences(first, second) == [WEIGHTS]


def measured(seed: int, **metrics: str) -> Run:
    values = {METRIC: [1.0], "seen/classifier/kid": [2.0], "seen/classifier/recall": [0.5]}
    spaces = {space: {**PRINT, "metrics": metrics} for space in ("classifier", "pixels")}
    return run(values, seed, spaces, metrics={name: {"_target_": name} for name in metrics})


def test_a_metric_that_only_one_run_has_makes_no_number_of_another_metric_incomparable() -> None:
    runs = [measured(0, fid="v2"), measured(1, fid="v2", spread="v1"), measured(2, fid="v2", kid="v2 k=3")]
    assert comparable_groups(runs) == [tuple(runs)]
    assert gathered(runs).warnings == []
    assert compared([(runs[0], runs[1])])["n"].tolist() == [1, 1, 1]


def test_a_metric_with_unlike_settings_separates_runs_and_leaves_other_metrics_comparable() -> None:
    runs = [measured(0, fid="v2", kid="v2 k=3"), measured(1, fid="v2", kid="v1")]
    told = "KID has other settings: version 2 and k 3 here, version 1 and default k there"
    assert group_differences(*([one] for one in runs)) == [told]
    assert len(comparable_groups(runs)) == 2
    require_comparable(runs, METRIC)
    for name in ("seen/classifier/kid", "seen/classifier/recall"):  # because recall may be of any metric
        with pytest.raises(UserError, match=told):
            require_comparable(runs, name)


def test_sizes_groups_and_references_are_told_in_sentences() -> None:
    sizes = {"n": 1000, "n_reference": 539, "n_floor": 63, "groups": ["a", "b"]}
    other = {**sizes, "n_floor": 200, "groups": ["a"], "reference": "generation 0"}
    assert differences({"pixels": {"all": sizes}}, {"pixels": {"all": other}}) == [
        "floors rest on 63 rows here and on 200 there",
        "values compare with real rows here and with generation 0 there",
        "the groups of prompts or labels are not the same here and there",
    ]
    del other["groups"]
    assert len(differences({"pixels": {"all": sizes}}, {"pixels": {"all": other}})) == 2


def test_no_runs_give_no_groups() -> None:
    assert comparable_groups([]) == []


def test_comparing_a_metric_across_different_features_is_refused_with_the_reason() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": SMALL})]
    with pytest.raises(UserError, match="600 samples are measured here and 64 there for seen prompts"):
        require_comparable(runs, METRIC)
    require_comparable(runs, "seen/pixels/fid")
    require_comparable(runs, "seen/perplexity")
    require_comparable([run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {})], METRIC)


def test_a_collection_warns_of_runs_that_must_not_be_compared() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": OTHER})]
    (warning,) = gathered(runs).warnings
    assert "must not be compared" in warning
    assert "the weights of classifier features are 9a8b7c… here and 1f2e3d… there" in warning
    assert gathered(runs[:1]).warnings == []
