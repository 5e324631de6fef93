from __future__ import annotations

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.doses import responses
from tests.results.memory_runs import METRIC, PRINT, run

RECALL = "seen/classifier/recall"


def test_harm_is_paired_and_positive_where_lower_and_where_higher_is_better() -> None:
    runs = [
        run({METRIC: [1, 1 + ratio + seed], RECALL: [0.9, 0.9 - ratio / 2]}, seed, ratio=ratio)
        for ratio in (1.0, 0.0, 0.5)
        for seed in (2, 0, 1)
    ]
    (fid,) = responses(gathered(runs), METRIC)
    assert fid.doses.tolist() == [0, 0.5, 1]
    assert fid.harm == pytest.approx(np.asarray([[0, 0, 0], [0.5] * 3, [1] * 3]))
    assert fid.control == 2.0
    (recall,) = responses(gathered(runs), RECALL)
    assert recall.harm[:, 0] == pytest.approx([0, 0.25, 0.5])


def test_only_seeds_of_all_doses_count_and_each_other_setting_has_a_response() -> None:
    runs = [
        run({METRIC: [1, 1 + ratio * scale]}, seed, ratio=ratio, scale=scale)
        for scale in (1, 2)
        for ratio in (0.0, 1.0)
        for seed in (0, 1, 2)
        if (ratio, seed) != (1.0, 2)
    ]
    of_settings = responses(gathered(runs), METRIC)
    assert [(r.label, r.harm.tolist()) for r in of_settings] == [
        ("scale 1", [[0, 0], [1, 1]]),
        ("scale 2", [[0, 0], [2, 2]]),
    ]


def test_without_a_control_or_a_common_seed_there_is_no_response() -> None:
    assert responses(gathered([run({METRIC: [1, 2]}, 0, ratio=r) for r in (0.5, 1.0)]), METRIC) == []
    assert responses(gathered([run({METRIC: [1, 2]}, int(r), ratio=r) for r in (0.0, 1.0)]), METRIC) == []
    assert responses(gathered([run({METRIC: [1, 2]}, 0, ratio=1.0)]), METRIC) == []
    assert responses(gathered([run({METRIC: [1, 2]}, 0, ratio=r) for r in (0.0, 1.0)]), RECALL) == []


def test_different_features_are_refused() -> None:
    runs = [
        run({METRIC: [1, 2]}, 0, {"classifier": {**PRINT, "weights": str(r)}}, ratio=r, scale=1) for r in (0.0, 1.0)
    ]
    with pytest.raises(UserError, match="must not be compared"):
        responses(gathered(runs), METRIC)
