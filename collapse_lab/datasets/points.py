"""Base class of all point data sets, which draw points of a known distribution for many independent replicas."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.memory import require
from collapse_lab.seeds import Seeds
from collapse_lab.types import LARGEST, Count, RealData, Samples, Spec, Whole


@dataclass(kw_only=True, eq=False)
class Points(ABC):
    """Draw independent points of one distribution; a row holds one point of each of R replicas, (R, d) float64.

    Args:
        replicas: R, number of independent chains, 1 or more. Each chain has real rows of its own.
        rows: number of training rows, 1 or more.
        reference: number of reference rows, 2 or more, because every comparison needs 2 rows. They are never trained
            on.
        seed: seed of the draws, 0 or more. It is the seed of the run, because real rows are drawn here and not chosen
            from a fixed data set.

    Raises:
        UserError: when there are fewer than 2 reference rows, or the rows do not fit into the memory.
    """

    replicas: Count = 1
    rows: Count = 1000
    reference: Annotated[int, Ge(2), Le(LARGEST)] = 1000
    seed: Whole = 0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.reference < 2:
            raise UserError(f"dataset.reference is 2 or more; got {self.reference}")
        rows = self.total * self.replicas
        require(
            8 * max(rows, self.width) * self.width,  # float64; a covariance has d x d
            f"dataset.rows={self.rows} + dataset.reference={self.reference} of {self.replicas} x {self.width} numbers",
            "lower n_train, model.replicas or the dimension",
        )

    @property
    def total(self) -> int:
        """Return the number of rows of both splits."""
        return self.rows + self.reference

    @property
    @abstractmethod
    def width(self) -> int:
        """Return d, the numbers of one point."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows.

        Args:
            n: number of rows.
            generator: source of the random numbers.

        Returns:
            (n, R, d) float64.
        """

    @cached_property
    def key(self) -> str:
        """Return 16 hex digits that change whenever a row changes."""
        text = json.dumps([type(self).__name__, self.version, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def spec(self) -> Spec:
        """Return the shape (R, d) of a row; points have no labels and no captions."""
        return Spec("points", (self.replicas, self.width))

    def load(self) -> RealData:
        """Return the training rows and the reference rows; this object draws them once."""
        return self._real

    @cached_property
    def _real(self) -> RealData:
        return RealData(self._split("train", self.rows), self._split("reference", self.reference))

    def _split(self, name: str, n: int) -> Samples:
        generator = Seeds(self.seed, 0, "real", f"points/{name}").torch()
        return Samples(self.draw(n, generator), np.full(n, -1, np.int64))


def per_axis(name: str, value: float | Sequence[float], dimension: int) -> Tensor:
    """Return one positive number for each of d axes.

    Args:
        name: name of the argument, for messages.
        value: one number for all axes, or one for each axis; above 0 and finite.
        dimension: d.

    Returns:
        (d,) float64.

    Raises:
        UserError: when there are not d numbers, or one is not positive and finite.
    """
    values = [value] * dimension if isinstance(value, int | float) else list(value)
    if dimension < 1 or len(values) != dimension or not all(0 < number < float("inf") for number in values):
        raise UserError(
            f"dataset.{name} is a positive number, or one for each of the {dimension} dimensions; got {value}"
        )
    return torch.tensor(values, dtype=torch.float64)
