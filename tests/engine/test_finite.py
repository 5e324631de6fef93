from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.datasets.normal import Normal
from collapse_lab.datasets.points import Points
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.types import RealData, Samples, Spec
from tests.standins import DIGITS, Chain


@dataclass
class FloatPictures:
    """Give the digits as float32 in [-1, 1], with one number replaced in row 3 of a split."""

    split: str
    number: float

    @property
    def key(self) -> str:
        return "float-pictures"

    @property
    def spec(self) -> Spec:
        return DIGITS.spec

    def load(self) -> RealData:
        real = DIGITS.load()
        return RealData(self._floats(real.train, "train"), self._floats(real.reference, "reference"))

    def _floats(self, samples: Samples, name: str) -> Samples:
        data = samples.data.float() / 127.5 - 1
        if name == self.split:
            data[3, 0, 2, 2] = self.number
        return Samples(data, samples.labels, samples.captions)


@dataclass(kw_only=True, eq=False)
class HugePoints(Points):
    """Draw points that overflow."""

    @property
    def width(self) -> int:
        return 2

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.full((n, self.replicas, 2), 1e308, dtype=torch.float64) * 10


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("split", ["train", "reference"])
def test_float_pictures_with_nan_are_refused_by_name_before_anything_is_computed(
    tmp_path: Path, split: Literal["train", "reference"], number: float
) -> None:
    lab = replace(Chain(tmp_path).lab(), dataset=FloatPictures(split, number))
    refusal = (
        rf"the {split} rows of the data set FloatPictures hold NaN or infinity in 1 of \d+ rows, the first is row 3:"
    )
    with pytest.raises(UserError, match=refusal):
        lay_out(lab, Silent())
    assert not (tmp_path / "store" / "fit").exists()


def test_points_that_overflow_are_refused_by_name(tmp_path: Path) -> None:
    lab = replace(Chain(tmp_path).lab(), dataset=HugePoints(rows=30, reference=10))
    with pytest.raises(UserError, match="data set HugePoints hold NaN or infinity in 30 of 30 rows"):
        _ = lab.real


def test_finite_data_pass_unchanged(tmp_path: Path) -> None:
    lab = replace(Chain(tmp_path).lab(), dataset=Normal(rows=30, reference=10))
    rows = lab.real.train.gathered().data
    assert torch.equal(rows, lab.dataset.load().train.data)
    assert np.isfinite(rows.numpy()).all()
