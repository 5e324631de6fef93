"""What a mixing policy may draw; every other draw is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab.engine.draws import check_draw
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Policy
from collapse_lab.types import REAL, UNBORN, DrawRequest, Provenance
from tests.standins import Chain

# Six real rows, of which the last two are not eligible, and six rows that model 0 sampled in generation 0
POOL = Provenance(
    ids=np.arange(12),
    source=np.repeat([REAL, 1], 6),
    born=np.repeat([UNBORN, 0], 6),
    labels=np.zeros(12, np.int64),
    eligible=np.array([True] * 4 + [False] * 2 + [True] * 6),
    prompts=np.zeros(12, np.int64),
    owner=np.zeros(12, np.int64),
)


class Half:
    """Have a ratio of one half."""

    ratio = 0.5
    horizon: int | None = 1

    def draw(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        raise AssertionError("the draw is given to the check")


@pytest.mark.parametrize(
    ("ids", "generation"), [([0, 1, 6, 7], 1), ([3, 6], 2), ([4, 5, 0], 0), (np.array([2, 9], np.int32), 1)]
)
def test_a_sound_draw_is_accepted(ids: Any, generation: int) -> None:
    check_draw(np.asarray(ids), POOL, generation, Half())


@pytest.mark.parametrize(
    ("ids", "generation", "message"),
    [
        ([], 1, "the training set of generation 1 is empty"),
        ([0.0, 1.0], 1, "whole numbers"),
        ([[0, 6]], 1, "whole numbers"),
        ([0, 6, 6], 1, "row 6 twice for generation 1"),
        ([0, 12], 1, "row 12 for generation 1; its pool has no such row"),
        ([0, -1], 1, "row -1 for generation 1; its pool has no such row"),
        ([0, 6], 0, "1 synthetic rows for generation 0"),
        ([4, 6], 1, "1 rows for generation 1 that are not eligible"),
        ([0, 1, 2, 6], 1, r"1 synthetic rows of 4 for generation 1, and ratio=0\.5 asks for 2"),
    ],
)
def test_every_other_draw_is_refused_by_name(ids: Any, generation: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_draw(np.asarray(ids), POOL, generation, Half())


class BornInGenerationZero(Policy):
    """Take the rows of generation 0 by their birth alone, as an own policy may do."""

    ratio = 1.0

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        ids: np.ndarray = pool.ids[pool.born == 0][: request.n]
        return ids


def test_real_rows_are_not_born_in_generation_0(tmp_path: Path) -> None:
    chain = Chain(tmp_path, mixing=BornInGenerationZero(), generations=1)
    assert chain.plan()[1][0].counts == {"real": 0, "synthetic": 40}


class Ineligible(Policy):
    """Take real rows whether they are eligible or not."""

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        return pool.real.ids[: request.n]


def test_a_run_whose_policy_draws_ineligible_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Ineligible\.draw returned \d+ rows for generation 1 that are not eligible"):
        Chain(tmp_path, mixing=Ineligible(), retrain=[0, 1], generations=1).plan()
