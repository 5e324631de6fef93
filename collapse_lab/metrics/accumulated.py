"""Keep rows of features batch by batch: the base classes of the torchmetrics wrappers in `wrapped`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from collapse_lab.errors import UserError
from collapse_lab.metrics.catalogue import Quantity, describe


class AccumulatedRows(Metric):
    """Keep the rows of each of its `kinds`, batch by batch.

    Direction and bounds of a subclass come from the catalogue. They are None where its quantities differ in them.

    Attributes:
        kinds: what the rows are, such as ("generated", "real").
        quantities: the names in the ledger of what `compute` gives.
    """

    is_differentiable = False
    full_state_update = False
    kinds: ClassVar[tuple[str, ...]]
    quantities: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        entries = [_entry(name) for name in cls.quantities]
        directions = {entry.better for entry in entries}
        ranges = {entry.range for entry in entries}
        cls.higher_is_better = {"higher": True, "lower": False}.get(directions.pop()) if len(directions) == 1 else None
        cls.plot_lower_bound, cls.plot_upper_bound = ranges.pop() if len(ranges) == 1 else (None, None)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for kind in self.kinds:
            self.add_state(kind, default=[], dist_reduce_fx="cat")

    def keep(self, kind: str, rows: Tensor) -> None:
        """Add rows of one kind."""
        getattr(self, kind).append(rows.detach())

    def kept(self, kind: str) -> Tensor:
        """Return all rows of one kind so far.

        Raises:
            UserError: there are none.
        """
        batches = getattr(self, kind)
        if not len(batches):
            raise UserError(
                f"{type(self).__name__} was computed before any rows were given as `{kind}`: call `update` first"
            )
        rows: Tensor = dim_zero_cat(batches)
        return rows


class Comparison(AccumulatedRows):
    """Compute a metric of generated and real features."""

    kinds: ClassVar[tuple[str, ...]] = ("generated", "real")

    def update(self, features: Tensor, real: bool) -> None:
        """Add a batch of features (n, d), of real rows or of generated ones."""
        self.keep("real" if real else "generated", features)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Return the metric of all rows so far, as a scalar or by name."""
        return self.scalars(self.compare(self.kept("generated"), self.kept("real")))

    def scalars(self, values: float | Mapping[str, float]) -> Tensor | dict[str, Tensor]:
        """Return numbers as tensors on this metric's device."""
        if isinstance(values, Mapping):
            return {name: torch.tensor(value, device=self.device) for name, value in values.items()}
        return torch.tensor(values, device=self.device)

    def compare(self, generated: Tensor, real: Tensor) -> float | Mapping[str, float]:
        """Return the metric of two feature matrices (n, d) and (m, d), which a subclass computes."""
        raise NotImplementedError


class Variety(Comparison):
    """Compute a metric of generated features alone.

    `update` accepts real rows and ignores them, so that one call of a `MetricCollection` serves both kinds of metric.
    """

    kinds: ClassVar[tuple[str, ...]] = ("generated",)

    def update(self, features: Tensor, real: bool = False) -> None:
        """Add a batch of features (n, d); real rows are ignored."""
        if not real:
            self.keep("generated", features)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Return the metric of all generated rows so far."""
        return self.scalars(self.score(self.kept("generated")))

    def score(self, generated: Tensor) -> float:
        """Return the metric of one feature matrix (n, d), which a subclass computes."""
        raise NotImplementedError


def _entry(name: str) -> Quantity:
    entry = describe(name)
    assert entry is not None, f"metrics/catalogue.py has no entry for '{name}'"
    return entry
