from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.metrics.similarity import Similarity, similarity
from tests.metrics.cases import features, normal, rng


def test_similarity_is_the_mean_cosine_of_torch() -> None:
    x, y = normal(60, 5, 1) + 1, normal(60, 5, 2)
    assert similarity(x, y) == pytest.approx(float(torch.cosine_similarity(x, y).mean()), abs=1e-12)
    assert similarity(x, x) == pytest.approx(1)
    assert similarity(x, -3 * x) == pytest.approx(-1)


def test_the_interval_has_the_standard_error_of_a_mean_over_prompts() -> None:
    x, y = normal(400, 3, 3), normal(400, 3, 4)
    estimate = Similarity(bootstrap=2000)(features(x), features(y), rng())["similarity"]
    assert estimate.lo is not None
    assert estimate.hi is not None
    half = 1.96 * float(torch.cosine_similarity(x, y).std()) / np.sqrt(400)
    assert (estimate.hi - estimate.lo) / 2 == pytest.approx(half, rel=0.08)  # 2,000 resamplings know it to 1.6 %


def test_other_numbers_of_samples_are_refused() -> None:
    with pytest.raises(UserError, match="same prompts, and was given 4 and 5"):
        similarity(normal(4, 2, 1), normal(5, 2, 2))
