"""What is left of a discrete distribution: genetic drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.categories import Categories
from collapse_lab.errors import UserError
from collapse_lab.models.discrete import Discrete
from collapse_lab.probes import replicas
from collapse_lab.probes.laws import Laws, discrete_laws, expected
from collapse_lab.probes.process import Process
from collapse_lab.types import Estimate, Subject


class Drift:
    """Means over replicas of the fitted p: heterozygosity 1 - Σ p_k², that two draws differ; support, the number of
    categories left; mass_lost, the real probability of those that are not.

    With the suffix `_theory`, under replace, their exact expectations.

    truth: the data set.  process: how the generations follow on each other.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process) -> None:
        if not isinstance(truth, Categories):
            raise UserError(
                f"probes=[drift] compares with known probabilities, and {type(truth).__name__} has none; give "
                "dataset=categories"
            )
        self.truth, self.process = truth, process
        self._laws: Laws | None = None

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        model = subject.model
        if not isinstance(model, Discrete):
            raise UserError(f"probes=[drift] looks at model=discrete; {type(model).__name__} is another family")
        probabilities, real = model.probabilities.numpy(), self.truth.probabilities.numpy()
        if self._laws is None:
            self._laws = discrete_laws(self.process, self.truth.rows, real)
        found = {
            "heterozygosity": 1 - np.square(probabilities).sum(1),
            "support": (probabilities > 0).sum(1).astype(float),
            "mass_lost": (probabilities == 0) @ real,
        }
        theory = expected(self._laws, int(model.generation))
        return {name: replicas.mean(values) for name, values in found.items()} | theory
