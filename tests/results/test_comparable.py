from __future__ import annotations

import itertools
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.comparable import comparable_groups, differences, group_differences, require_comparable
from tests.results.memory_runs import METRIC, PRINT, run

OTHER = {**PRINT, "weights": "9a8b7c6d5e4f3a2b"}
SMALL = {**PRINT, "seen": {"n": 64}}
PIXELS = {"extractor": "pixels", "resize": None}


def test_differences_are_described_in_plain_words() -> None:
    assert differences({"classifier": PRINT}, {"classifier": {**OTHER, "seen": {"n": 64}}}) == [
        "classifier: weights 1f2e3d… against 9a8b7c…",
        "classifier, seen: n 600 against 64",
    ]
    assert differences({"pixels": PIXELS}, {"pixels": {**PIXELS, "resize": [8, 8]}}) == [
        "pixels: resize none against [8, 8]"
    ]
    assert differences({"pixels": {**PIXELS, "torch": "2.11"}}, {"pixels": PIXELS}) == [
        "pixels: torch 2.11 against none"
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
    assert group_differences(first, second) == ["classifier: weights 1f2e3d… against 9a8b7c…"]


def test_no_runs_give_no_groups() -> None:
    assert comparable_groups([]) == []


def test_comparing_a_metric_across_different_features_is_refused_with_the_reason() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": SMALL})]
    with pytest.raises(UserError, match="classifier, seen: n 600 against 64"):
        require_comparable(runs, METRIC)
    require_comparable(runs, "seen/pixels/fid")
    require_comparable(runs, "seen/perplexity")
    require_comparable([run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {})], METRIC)


def test_a_collection_warns_of_runs_that_must_not_be_compared() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": OTHER})]
    (warning,) = gathered(runs).warnings
    assert "must not be compared" in warning
    assert "weights 1f2e3d… against 9a8b7c…" in warning
    assert gathered(runs[:1]).warnings == []
