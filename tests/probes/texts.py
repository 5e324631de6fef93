"""A Markov chain that writes blocks of tokens, and scores them as a language model does."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from collapse_lab.types import Samples, Subject


def samples(tokens: np.ndarray) -> Samples:
    return Samples(torch.from_numpy(tokens), np.full(len(tokens), -1))


def subject(
    real: np.ndarray, generated: np.ndarray, model: Any = None, first: Any = None, start: Any = None
) -> Subject:
    rows = samples(real), samples(generated)
    return Subject(cast("Any", model), lambda: cast("Any", first), *rows, lambda: cast("Any", start))


class Chain:
    """A Markov chain with p(t | s) = probabilities[s, t]; `scored` counts the blocks that it has scored."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self.probabilities, self.scored = probabilities, 0

    def token_nlls(self, samples: Samples) -> Tensor:
        self.scored += len(samples)
        rows = samples.data.numpy()
        return torch.from_numpy(-np.log(self.probabilities[rows[:, :-1], rows[:, 1:]])).float()

    def write(self, n: int, length: int, seed: int) -> np.ndarray:
        """Write n blocks that start from the stationary distribution, so every token costs the entropy rate."""
        rng = np.random.default_rng(seed)
        tokens = np.empty((n, length), np.int64)
        tokens[:, 0] = rng.choice(len(self.stationary), n, p=self.stationary)
        sums = self.probabilities.cumsum(1)
        for t in range(1, length):
            tokens[:, t] = (sums[tokens[:, t - 1]] < rng.random((n, 1))).sum(1)
        return tokens

    @property
    def stationary(self) -> np.ndarray:
        powers: np.ndarray = np.linalg.matrix_power(self.probabilities, 200)[0]
        return powers

    def rate(self, writer: Chain) -> float:
        """Return the expectation of -log p(t | s) over the blocks of `writer`; of its own blocks, its entropy rate."""
        return float(-(writer.stationary[:, None] * writer.probabilities * np.log(self.probabilities)).sum())


def chain(kinds: int, seed: int, evenness: float = 1.0) -> Chain:
    weights = np.random.default_rng(seed).gamma(evenness, size=(kinds, kinds)) + 0.01
    return Chain(weights / weights.sum(1, keepdims=True))
