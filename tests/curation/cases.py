"""Make samples with conditions, and a classifier that reads its scores off the first pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.types import Captions, Conditions, FeatureSet, Samples


class FirstPixel:
    """Give the first pixel as log p of every class."""

    version: ClassVar[int] = 1

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {}

    def extract(self, samples: Samples) -> FeatureSet:
        return FeatureSet(samples.data.flatten(1), torch.from_numpy(samples.labels))

    def log_probabilities(self, samples: Samples) -> Tensor:
        return samples.data.flatten(1)[:, :1].expand(-1, 10)


def random_conditions(n: int, seed: int, labels: int = 3, captions: int = 2) -> Conditions:
    """Return n conditions in random order."""
    rng = np.random.default_rng(seed)
    texts = Captions.of([f"caption {i}" for i in rng.integers(captions, size=n)]) if captions else Captions()
    return Conditions(rng.integers(labels, size=n), texts)


def random_samples(conditions: Conditions, seed: int, shape: tuple[int, int, int] = (1, 4, 4)) -> Samples:
    """Return images in [-1, 1] for these conditions."""
    data = torch.rand(len(conditions), *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Samples(data, conditions.labels, conditions.captions)


def as_planned(kept: Samples, planned: Conditions) -> bool:
    """Return whether the samples have exactly the planned conditions, in the planned order."""
    return np.array_equal(kept.labels, planned.labels) and kept.captions.texts() == planned.captions.texts()
