"""Provide digits to train on, images of noise, and a progress that only counts."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

from collapse_lab.types import RealData, Samples, Spec

DIGITS = Spec("image", (1, 8, 8), tuple("0123456789"))


class Unwatched:
    """Count the steps of a Progress."""

    def __init__(self) -> None:
        self.total = 0
        self.steps = 0

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        self.total += total

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def stop(self) -> None:
        pass


@cache
def digits() -> RealData:
    """Return scikit-learn's 1,797 digits as uint8, 70 % of them to train on."""
    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * 255 / 16).astype(np.uint8))[:, None]
    every = Samples(images, bunch.target.astype(np.int64))
    order = np.random.default_rng(0).permutation(len(images))
    cut = round(0.7 * len(images))
    return RealData(every.take(order[:cut]), every.take(order[cut:]))


def noise(spec: Spec, n: int, seed: int = 0) -> Samples:
    """Return n images of noise, with the labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (n, *spec.shape), generator=generator, dtype=torch.uint8)
    return Samples(data, np.arange(n, dtype=np.int64) % max(1, len(spec.classes)))
