"""Features of many real rows: in parts that are kept, under the key of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from collapse_lab.engine import embedding
from collapse_lab.engine.embedding import RealFeatures
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.silent import Silent
from collapse_lab.types import FeatureSet, Samples
from tests.engine.cases import Flat, lab_with

ROWS = np.arange(0, 44, 2)  # 22 rows: parts of 8, 8 and 6


class Batched(Flat):
    """Embed four rows at a time, keep how many, and stop at a row."""

    batched: ClassVar[bool] = True

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.batch_size, self.calls, self.stop_at = 4, list[int](), stop_at

    def extract(self, samples: Samples, advance: Callable[[int], None] = lambda rows: None) -> FeatureSet:
        parts = []
        for start in range(0, len(samples), self.batch_size):
            if sum(self.calls) == self.stop_at:
                raise KeyboardInterrupt
            rows = samples.take(np.arange(start, min(start + self.batch_size, len(samples))))
            parts.append(super().extract(rows).values)
            self.calls.append(len(rows))
            advance(len(rows))
        return FeatureSet(torch.cat(parts), torch.from_numpy(samples.labels))


class Counted(Silent):
    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.done = 0

    def start(self, *what: Any) -> None:
        self.started.append(what)

    def advance(self, steps: int = 1) -> None:
        self.done += steps


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART", 9)  # two whole batches of four


def features(store: Path, extractor: Flat) -> tuple[RealFeatures, Counted]:
    progress = Counted()
    lab = lab_with(store, {"flat": extractor})
    return RealFeatures(lab, Extractors(lab, progress)), progress


def test_parts_give_the_key_and_the_values_of_the_whole(tmp_path: Path) -> None:
    in_parts, _ = features(tmp_path / "parts", Batched())
    whole, _ = features(tmp_path / "whole", Flat())
    stage, alone = in_parts.stage("flat", "train", ROWS), whole.stage("flat", "train", ROWS)
    assert (len(stage.derived), len(alone.derived)) == (3, 0)
    assert stage.key == alone.key
    for name, values in alone.value().tensors.items():
        assert torch.equal(stage.value().tensors[name], values)


def test_a_stop_costs_one_part_and_nothing_is_left_of_the_parts(tmp_path: Path) -> None:
    first = Batched(stop_at=12)
    stopped, _ = features(tmp_path, first)
    with pytest.raises(KeyboardInterrupt):
        stopped.stage("flat", "train", ROWS).value()
    assert first.calls == [4, 4, 4]
    again = Batched()
    resumed, progress = features(tmp_path, again)
    stage = resumed.stage("flat", "train", ROWS)
    stage.value()
    assert again.calls == [4, 4, 4, 2]  # the second part anew, and the third
    assert progress.started == [(0, "train", "features flat", 8), (0, "train", "features flat", 6)]
    assert progress.done == 14
    assert len(list(tmp_path.glob("store/features_part/*/*"))) == 3
    resumed.forget_parts()
    assert not list(tmp_path.glob("store/features_part/*/*"))
    assert stage.ready


def test_few_rows_are_one_stage(tmp_path: Path) -> None:
    some, _ = features(tmp_path, Batched())
    assert some.stage("flat", "train", ROWS[:8]).derived == []
