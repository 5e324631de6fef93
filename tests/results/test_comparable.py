from __future__ import annotations

import itertools
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.comparable import between, differences, groups, require_alike
from tests.results.made import METRIC, PRINT, run

OTHER = {**PRINT, "weights": "9a8b7c6d5e4f3a2b"}
SMALL = {**PRINT, "seen": {"n": 64}}
PIXELS = {"extractor": "pixels", "resize": None}


def test_differences_are_said_in_plain_words() -> None:
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


def test_what_only_one_of_them_has_is_no_difference() -> None:
    fewer = {key: value for key, value in PRINT.items() if key != "unseen"}
    assert differences({"classifier": PRINT, "pixels": PIXELS}, {"classifier": fewer}) == []
    assert differences({"classifier": PRINT}, {"pixels": PIXELS}) == []
    assert differences({}, {"classifier": PRINT}) == []


def test_groups_are_a_partition_without_an_unlike_pair() -> None:
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
        found = groups(order)
        assert sorted(r.seed for group in found for r in group) == list(range(6))
        for group in found:
            assert [r.seed for r in order if r in group] == [r.seed for r in group]
            assert not any(differences(a.fingerprints, b.fingerprints) for a, b in itertools.combinations(group, 2))
        assert len(found) == 3
    first, second = (next(g for g in groups(runs) if runs[i] in g) for i in (1, 2))
    assert between(first, second) == ["classifier: weights 1f2e3d… against 9a8b7c…"]


def test_no_runs_have_no_groups() -> None:
    assert groups([]) == []


def test_a_metric_across_unlike_features_is_refused_and_says_why() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": SMALL})]
    with pytest.raises(UserError, match="classifier, seen: n 600 against 64"):
        require_alike(runs, METRIC)
    require_alike(runs, "seen/pixels/fid")
    require_alike(runs, "seen/perplexity")
    require_alike([run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {})], METRIC)


def test_a_collection_warns_of_them() -> None:
    runs = [run({METRIC: [1.0]}, 0), run({METRIC: [1.0]}, 1, {"classifier": OTHER})]
    (warning,) = gathered(runs).warnings
    assert "must not be compared" in warning
    assert "weights 1f2e3d… against 9a8b7c…" in warning
    assert gathered(runs[:1]).warnings == []
