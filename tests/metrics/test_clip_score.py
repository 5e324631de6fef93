from __future__ import annotations

import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.clip_score import CLIPScore, clip_score
from collapse_lab.types import FeatureSet
from tests.metrics.cases import features, normal, rng


def by_torchmetrics(images: Tensor, texts: Tensor) -> float:
    """Return the score by torchmetrics' steps: 100 times the mean product of unit vectors, at least 0."""
    images, texts = (x / x.norm(p=2, dim=-1, keepdim=True) for x in (images, texts))
    return max(float((100 * (images * texts).sum(-1)).mean()), 0.0)


def test_clip_score_agrees_with_torchmetrics_where_no_cosine_is_negative() -> None:
    images, texts = normal(50, 12, 1) + 2, normal(50, 12, 2) + 1
    assert float(torch.nn.functional.cosine_similarity(images, texts).min()) > 0
    assert clip_score(images, texts) == pytest.approx(by_torchmetrics(images, texts), rel=1e-10)
    assert clip_score(images.float(), texts.float()) == pytest.approx(by_torchmetrics(images, texts), rel=1e-6)


def test_each_negative_cosine_counts_as_zero() -> None:
    images, texts = torch.eye(2)[[0, 0, 0, 1]], torch.tensor([[2.0, 0], [-1, 0], [0, 1], [3, 3]])
    assert clip_score(images, texts) == pytest.approx(100 * (1 + 0 + 0 + 0.5**0.5) / 4)


def test_clip_score_has_an_interval_and_is_empty_without_captions() -> None:
    images, texts = normal(80, 6, 1) + 1, normal(80, 6, 2) + 1
    rows = FeatureSet(images, torch.zeros(80, dtype=torch.int64), texts=texts)
    estimate = CLIPScore()(rows, rows, rng())["clip_score"]
    assert estimate.value == pytest.approx(clip_score(images, texts))
    assert 0 <= (estimate.lo or 0) < estimate.value < (estimate.hi or 0) <= 100
    assert CLIPScore()(features(images), rows, rng()) == {}


def test_unequal_images_and_captions_are_refused() -> None:
    with pytest.raises(UserError, match="3 embedded captions were given for 4 images"):
        clip_score(normal(4, 3, 1), normal(3, 3, 2))
    rows = FeatureSet(normal(4, 3, 1), torch.zeros(4, dtype=torch.int64), texts=normal(4, 2, 2))
    with pytest.raises(UserError, match="3 and 2 dimensions"):
        CLIPScore()(rows, rows, rng())
