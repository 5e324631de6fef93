"""What the metrics of `wrapped` share: rows of features, kept batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from collapse_lab.errors import UserError


class Rows(Metric):
    """Keeps the rows of each of its `kinds`, batch by batch."""

    is_differentiable = False
    full_state_update = False
    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for kind in self.kinds:
            self.add_state(kind, default=[], dist_reduce_fx="cat")

    def keep(self, kind: str, rows: Tensor) -> None:
        """Adds rows of one kind."""
        getattr(self, kind).append(rows.detach())

    def kept(self, kind: str) -> Tensor:
        """All rows of one kind so far.

        Raises:
            UserError: there are none.
        """
        batches = getattr(self, kind)
        if not len(batches):
            raise UserError(f"{type(self).__name__} was asked for before any rows were given as `{kind}` to `update`")
        rows: Tensor = dim_zero_cat(batches)
        return rows


class Comparison(Rows):
    """A metric of generated and real features."""

    kinds: ClassVar[tuple[str, ...]] = ("generated", "real")

    def update(self, features: Tensor, real: bool) -> None:
        """A batch of features (n, d), of real rows or of generated ones."""
        self.keep("real" if real else "generated", features)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The metric of all rows so far, as a scalar or by name."""
        return self.scalars(self.compare(self.kept("generated"), self.kept("real")))

    def scalars(self, found: float | Mapping[str, float]) -> Tensor | dict[str, Tensor]:
        """Numbers as tensors on this metric's device."""
        if isinstance(found, Mapping):
            return {name: torch.tensor(value, device=self.device) for name, value in found.items()}
        return torch.tensor(found, device=self.device)

    def compare(self, generated: Tensor, real: Tensor) -> float | Mapping[str, float]:
        """The function of two feature matrices."""
        raise NotImplementedError


class Variety(Comparison):
    """A metric of generated features alone; real ones are let through, so that it goes with others' updates."""

    kinds: ClassVar[tuple[str, ...]] = ("generated",)

    def update(self, features: Tensor, real: bool = False) -> None:
        """A batch of features (n, d); real rows do not count."""
        if not real:
            self.keep("generated", features)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The metric of all generated rows so far."""
        return self.scalars(self.score(self.kept("generated")))

    def score(self, generated: Tensor) -> float:
        """The function of one feature matrix."""
        raise NotImplementedError
