"""How far the parameters of a fit jump from one generation to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.probes import replicas
from collapse_lab.probes.moments import HasMoments
from collapse_lab.types import Estimate, Prospect, Subject


class Steps:
    """Measure how far mean μ and width σ = √(Tr Σ/d) of a model lie from those of the generation before.

    mean_step: The mean over replicas of |μ_g - μ_{g-1}|².
    std_step: The mean over replicas of (σ_g - σ_{g-1})².

    Generation 0 has no such numbers. After a fit to M new rows mean_step is about σ² d/M. It falls as 1/(g + 1)² where
    all data are pooled, and stays where a subsample of the pool is fitted.

    Raises:
        UserError: The model has no moments.

    Source: the supplement of arXiv:2305.17493: parameters "jump" if a subsample of the pooled data is fitted.
    """

    version: ClassVar[int] = 1

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family without moments."""
        _moving(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `mean_step` and `std_step`, or nothing in generation 0."""
        if subject.previous is None:
            return {}
        means, covariances = _moving(subject.model).moments()
        means_before, covariances_before = _moving(subject.previous()).moments()
        widths, widths_before = (
            sigma.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt() for sigma in (covariances, covariances_before)
        )
        return {
            "mean_step": replicas.mean((means - means_before).square().sum(1).numpy()),
            "std_step": replicas.mean((widths - widths_before).square().numpy()),
        }


def _moving(model: object) -> HasMoments:
    if not isinstance(model, HasMoments):
        raise UserError(f"probes=[steps] needs a family of points; {type(model).__name__} has no moments")
    return model
