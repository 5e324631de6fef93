"""Which states of a discrete distribution are lost, and in which one chains end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.probes import replicas
from collapse_lab.probes.categorical import histogram, known_categories
from collapse_lab.probes.laws import Laws, expected, state_laws
from collapse_lab.probes.process import Process
from collapse_lab.types import Count, Estimate, Prospect, Subject


class States:
    """Measure which states of a histogram are lost, and in which one chains end, over the replicas.

    absorbed: The share of replicas with a single state left.
    absorbed_0, absorbed_1, …: The share of replicas in which state k is the only one left. Its limit is the real
        probability of the state.
    rare_lost: The mean share of the rare states that are lost; a state is rare if its real probability is 1/M at most,
        M being the size of the first training set. There is no such number without a rare state.
    common_lost: The same of all other states.

    Where the policy is `replace`, their exact expectations follow under the same names with the suffix `_theory`.

    Args:
        truth: The data set, `Categories`.
        process: How the generations follow on each other.
        states: How many states k = 0, 1, … have a number absorbed_k of their own; the first ones are the most probable.

    Raises:
        UserError: The data set has no known probabilities, or the model is of another family.

    Source: arXiv:2305.17493, discrete distributions with exact approximation.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process, states: Count = 3) -> None:
        self.truth, self.process = known_categories(truth, "states"), process
        self.states = min(states, self.truth.categories)
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family."""
        histogram(prospect.model, "states")

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the shares, and their theory where it is known."""
        model = histogram(subject.model, "states")
        probabilities, real = model.probabilities.numpy(), self.truth.probabilities.numpy()
        rare = real <= 1 / self.process.first(self.truth.rows)
        if self._laws is None:
            self._laws = state_laws(self.process, self.truth.rows, real, rare, self.states)
        lost, alone = probabilities == 0, probabilities == 1
        out = {"absorbed": replicas.share(alone.any(1))}
        out |= {f"absorbed_{k}": replicas.share(alone[:, k]) for k in range(self.states)}
        for name, chosen in (("rare_lost", rare), ("common_lost", ~rare)):
            if chosen.any():
                out[name] = replicas.mean(lost[:, chosen].mean(1))
        return out | expected(self._laws, int(model.generation))
