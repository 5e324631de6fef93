"""What is left of each direction of a function space in fitted densities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.waves import Waves
from collapse_lab.errors import UserError
from collapse_lab.models.rkhs import RKHS
from collapse_lab.probes import replicas
from collapse_lab.probes.laws import Laws, direction_laws, expected
from collapse_lab.probes.process import Process
from collapse_lab.types import Count, Estimate, Prospect, Subject


class Directions:
    """Measure the coefficients c_k = ∫ p̂(x) √2 cos(πkx) dx of fitted densities, as means over replicas.

    direction_1, …, direction_K: The mean of c_k.
    direction_1_square, …, direction_K_square: The mean of c_k²; the noise of finite training sets is in it.
    top_share: The mean of c_1²/(c_1² + … + c_K²), in [0, 1]: how much the first direction has of what is left.

    Where the policy is `replace`, the exact expectations of c_k and c_k² follow with the suffix `_theory`.

    Args:
        truth: The data set, `Waves`.
        process: How the generations follow on each other.
        directions: K.

    Raises:
        UserError: The data set has no known coefficients, or the model is of another family.

    Source: the supplement of arXiv:2305.17493, of density estimation in a reproducing-kernel Hilbert space.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process, directions: Count = 4) -> None:
        if not isinstance(truth, Waves):
            raise UserError(
                f"probes=[directions] compares with known coefficients, and {type(truth).__name__} has none; give "
                "dataset=waves"
            )
        self.truth, self.process, self.directions = truth, process, directions
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family."""
        _embedded(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the coefficients and their squares, and their theory where it is known."""
        model = _embedded(subject.model)
        if self._laws is None:
            real = np.zeros(max(self.directions, len(self.truth.amplitudes)))
            real[: len(self.truth.amplitudes)] = self.truth.coefficients.numpy()
            laws = direction_laws(self.process, self.truth.rows, model.ridge, real)
            self._laws = {name: law for name, law in laws.items() if int(name.split("_")[1]) <= self.directions}
        coefficients = model.coefficients(self.directions).numpy()
        squares = np.square(coefficients)
        total = squares.sum(1)
        shares = np.divide(squares[:, 0], total, out=np.zeros_like(total), where=total > 0)
        out = {f"direction_{k + 1}": replicas.mean(coefficients[:, k]) for k in range(self.directions)}
        out |= {f"direction_{k + 1}_square": replicas.mean(squares[:, k]) for k in range(self.directions)}
        return {**out, "top_share": replicas.mean(shares)} | expected(self._laws, int(model.generation))


def _embedded(model: object) -> RKHS:
    if not isinstance(model, RKHS):
        raise UserError(f"probes=[directions] needs model=rkhs; {type(model).__name__} is another family")
    return model
