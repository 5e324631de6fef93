"""What is left of a discrete distribution: genetic drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.probes import replicas
from collapse_lab.probes.categorical import histogram, known_categories
from collapse_lab.probes.laws import Laws, discrete_laws, expected
from collapse_lab.probes.process import Process
from collapse_lab.types import Estimate, Prospect, Subject


class Drift:
    """Measure heterozygosity, support and lost mass of the fitted p, as means over replicas.

    heterozygosity: 1 - Σ p_k², the probability that two draws differ, in [0, 1).
    support: The number of categories left, in [1, K].
    mass_lost: The real probability of the categories that are not left, in [0, 1).

    Where the policy is `replace`, their exact expectations follow under the same names with the suffix `_theory`.

    Args:
        truth: The data set, `Categories`.
        process: How the generations follow on each other.

    Raises:
        UserError: The data set has no known probabilities, or the model is of another family.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process) -> None:
        self.truth, self.process = known_categories(truth, "drift"), process
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family."""
        histogram(prospect.model, "drift")

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the three means, and their theory where it is known."""
        model = histogram(subject.model, "drift")
        probabilities, real = model.probabilities.numpy(), self.truth.probabilities.numpy()
        if self._laws is None:
            self._laws = discrete_laws(self.process, self.truth.rows, real)
        values_by_name = {
            "heterozygosity": 1 - np.square(probabilities).sum(1),
            "support": (probabilities > 0).sum(1).astype(float),
            "mass_lost": (probabilities == 0) @ real,
        }
        theory = expected(self._laws, int(model.generation))
        return {name: replicas.mean(values) for name, values in values_by_name.items()} | theory
