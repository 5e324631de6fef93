"""How far fitted coefficients are from the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.regression import Regression
from collapse_lab.errors import UserError
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.probes import replicas
from collapse_lab.probes.laws import Laws, expected, regression_laws
from collapse_lab.probes.process import Process
from collapse_lab.theory.regression import Design
from collapse_lab.types import Estimate, Prospect, Subject


class RegressionError:
    """Measure the test error E (xᵀŵ - xᵀw)² = |ŵ - w|² of linear regression.

    test_error: The mean over replicas, ≥ 0. The expectation is over new x of N(0, I), without noise of labels.

    Under replace and accumulate, with as many rows in every generation, its exact expectation follows with the suffix
    `_theory`.

    Args:
        truth: The data set, `Regression`.
        process: How the generations follow on each other.

    Raises:
        UserError: The data set has no known coefficients, or the model is of another family.

    Source: arXiv:2404.01413.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process) -> None:
        if not isinstance(truth, Regression):
            raise UserError(
                f"probes=[regression] compares with known coefficients, and {type(truth).__name__} has none; give "
                "dataset=regression"
            )
        self.truth, self.process = truth, process
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family."""
        _linear(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `test_error`, and its theory where it is known."""
        model = _linear(subject.model)
        if self._laws is None:
            self._laws = self._theory(model)
        errors = (model.coefficients - self.truth.coefficients).square().sum(1).numpy()
        theory = expected(self._laws, int(model.generation))
        return {"test_error": replicas.mean(errors)} | theory

    def _theory(self, model: LinearRegression) -> Laws:
        if model.noise != self.truth.noise:
            return {}
        design: Design = "same" if model.inputs == "same" else "fresh"
        return regression_laws(self.process, self.truth.rows, self.truth.dimension, self.truth.noise, design)


def _linear(model: object) -> LinearRegression:
    if not isinstance(model, LinearRegression):
        raise UserError(f"probes=[regression] needs model=linear_regression; {type(model).__name__} is another family")
    return model
