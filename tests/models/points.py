"""Families of points, as the engine builds, fits and samples them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.engine.silent import Silent
from collapse_lab.models.replicated import Replicated
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec

F = TypeVar("F", bound=Replicated)


def place(role: str = "fit", generation: int = 0) -> Seeds:
    return Seeds(0, generation, "model", role)


def fitted(family: type[F], rows: Tensor, **arguments: Any) -> F:
    """Return the family fitted to rows (n, R, d)."""
    spec = Spec("points", tuple(rows.shape[1:]))
    model = family(spec, replicas=rows.shape[1], **arguments)
    model.fit(Samples(rows, np.full(len(rows), -1)), Budget(1, 1), place(), Silent())
    return model


def draw(model: Replicated, n: int, role: str = "sample/all") -> Tensor:
    conditions = Conditions(np.full(n, -1), Captions())
    return model.sample(conditions, place(role), Silent()).data


def normal(n: int, replicas: int, d: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(n, replicas, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
