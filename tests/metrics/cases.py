"""Make feature sets to test the metrics on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from collapse_lab.metrics.clouds import Cloud, clouds
from collapse_lab.metrics.neighbours import Candidates
from collapse_lab.metrics.tiles import walk
from collapse_lab.types import FeatureSet


def normal(n: int, d: int, seed: int, shift: float = 0.0, decay: float = 0.05) -> Tensor:
    """Return n draws of a Gaussian whose axes' scales fall from 1.5 to `decay`."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(1.5, decay, d, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scales + shift


def modes(n: int, d: int, seed: int, used: Sequence[int], spread: float = 1.0) -> Tensor:
    """Return n draws around the `used` ones of ten fixed centres."""
    centres = 4 * torch.randn(10, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    which = torch.tensor(used)[torch.randint(len(used), (n,), generator=generator)]
    return centres[which] + spread * torch.randn(n, d, generator=generator, dtype=torch.float64)


def rotation(d: int, seed: int) -> Tensor:
    """Return an orthogonal matrix (d, d)."""
    basis: Tensor = torch.linalg.qr(
        torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )[0]
    return basis


def features(values: Tensor, labels: Sequence[int] | None = None, predicted: Sequence[int] | None = None) -> FeatureSet:
    """Return a feature set of these rows."""
    return FeatureSet(
        values,
        torch.zeros(len(values), dtype=torch.int64) if labels is None else torch.tensor(labels),
        None if predicted is None else torch.tensor(predicted),
    )


def rng(seed: int = 0) -> np.random.Generator:
    """Return a fresh generator of random numbers."""
    return np.random.default_rng(seed)


def squared_distances(a: Cloud, b: Cloud) -> Tensor:
    """Return the squared distances of the rows of two clouds, as tiles give them."""
    found: list[Tensor] = []
    walk(a, b, [lambda tile: found.append(tile.distances)])
    return torch.cat(found)


def neighbours(x: Tensor, y: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Return squared distances and numbers of the k nearest rows of y, or of the k nearest other rows of x."""
    sets = clouds(x) if y is None else clouds(x, y)
    a, b = sets[0], sets[-1]
    candidates = Candidates(a, b, k)
    walk(a, b, [candidates.take])
    squares, index = candidates.nearest()
    return squares * a.scale**2, index
