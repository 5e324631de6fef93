"""How likely real points are under a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.probes import replicas
from collapse_lab.types import Estimate, Subject


@runtime_checkable
class HasDensity(Protocol):
    """A family of points with a density."""

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) of points (n, R, d), as (n, R)."""
        ...


class Likelihood:
    """log_likelihood: the mean of log p(x) over held-out real rows x; over replicas its mean, and its median.

    A replica that has become a point has none: the mean is then left out, and the median says when half of them have.
    """

    version: ClassVar[int] = 1

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        model: object = subject.model
        if not isinstance(model, HasDensity):
            raise UserError(
                f"probes=[likelihood] needs a family of points with a density; {type(model).__name__} has none"
            )
        found = model.log_density(subject.real.data).mean(0).numpy()
        (median,) = replicas.quantiles(found, (0.5,))
        return {"log_likelihood": replicas.mean(found), "log_likelihood_median": median}
