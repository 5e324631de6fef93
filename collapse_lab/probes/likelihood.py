"""How likely real points are under a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.probes import replicas
from collapse_lab.types import Estimate, Prospect, Subject


@runtime_checkable
class HasDensity(Protocol):
    """Describe a family of points that has a density."""

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p(x) of points (n, R, d), as (n, R)."""
        ...


class Likelihood:
    """Measure the mean of log p(x) over held-out real rows x, in nats: its mean and its median over replicas.

    log_likelihood: The mean over replicas.
    log_likelihood_median: The median over replicas.

    A replica that has become a point has no finite log-likelihood. The ledger then leaves the mean out, and the median
    shows when half of the replicas have become points.

    Raises:
        UserError: The model has no density.
    """

    version: ClassVar[int] = 1

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family without a density."""
        _with_density(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `log_likelihood` and `log_likelihood_median`."""
        means = _with_density(subject.model).log_density(subject.real.data).mean(0).numpy()
        (median,) = replicas.quantiles(means, (0.5,))
        return {"log_likelihood": replicas.mean(means), "log_likelihood_median": median}


def _with_density(model: object) -> HasDensity:
    if not isinstance(model, HasDensity):
        raise UserError(
            f"probes=[likelihood] needs a family of points with a density; {type(model).__name__} has none: leave it "
            "out of probes=[…]"
        )
    return model
