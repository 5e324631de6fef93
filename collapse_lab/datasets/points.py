"""What every set of points shares: drawn from a known distribution, once for each of many independent replicas."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.types import RealData, Samples, Spec


@dataclass(kw_only=True, eq=False)
class Points(ABC):
    """Independent draws of one distribution: a row holds a point of each of R replicas, (R, d) float64.

    replicas: R chains side by side, each with real rows of its own.
    rows: of the training split.  reference: rows that are never trained on.
    seed: of the draws. It is the run's, since real rows are drawn here and not chosen from a fixed set.

    Raises:
        UserError: a number below 1 (below 2 for the reference, as every comparison takes 2 rows).
    """

    replicas: int = 1
    rows: int = 1000
    reference: int = 1000
    seed: int = 0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name, least in (("replicas", 1), ("rows", 1), ("reference", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"dataset.{name} is {least} or more; got {getattr(self, name)}")

    @property
    @abstractmethod
    def width(self) -> int:
        """d, the numbers of one point."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, R, d) float64."""

    @cached_property
    def key(self) -> str:
        """16 hex digits that change whenever a row would."""
        text = json.dumps([type(self).__name__, self.version, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def spec(self) -> Spec:
        """Points without labels or captions."""
        return Spec("points", (self.replicas, self.width))

    def load(self) -> RealData:
        """Both splits, drawn once for this object."""
        return self._real

    @cached_property
    def _real(self) -> RealData:
        return RealData(self._split("train", self.rows), self._split("reference", self.reference))

    def _split(self, name: str, n: int) -> Samples:
        generator = Seeds(self.seed, 0, "real", f"points/{name}").torch()
        return Samples(self.draw(n, generator), np.full(n, -1, np.int64))


def per_axis(name: str, value: float | Sequence[float], dimension: int) -> Tensor:
    """One positive number for each of d axes, (d,) float64.

    Raises:
        UserError: another number of them, or one that is not positive.
    """
    values = [value] * dimension if isinstance(value, int | float) else list(value)
    if dimension < 1 or len(values) != dimension or not all(0 < each < float("inf") for each in values):
        raise UserError(
            f"dataset.{name} is a positive number, or one for each of the {dimension} dimensions; got {value}"
        )
    return torch.tensor(values, dtype=torch.float64)
