"""The distance of a fitted mixture of Gaussians from the real one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.gmm import GaussianMixture
from collapse_lab.probes import replicas
from collapse_lab.probes.moments import KnownComponents
from collapse_lab.types import Estimate, Prospect, Subject

Mixture = tuple[Tensor, Tensor, Tensor]


class MixtureDistance:
    """Measure the distance √∫(p - p₀)² of a fitted mixture from the real one, and how EM went.

    l2_distance: The mean over replicas of √∫(p - p₀)², ≥ 0. The integral of the product of two Gaussians is
        N(m_i; m_j, Σ_i + Σ_j), so the distance is exact.
    components_lost: The share of replicas in which EM lost a component.
    em_rounds: The mean number of rounds of EM.

    Args:
        truth: The data set, a mixture of Gaussians or one Gaussian.

    Raises:
        UserError: The data set is not a mixture of Gaussians, or the model is of another family.

    Source: the distance that arXiv:2305.17493 draws for mixtures.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any) -> None:
        if not isinstance(truth, KnownComponents):
            raise UserError(
                f"probes=[mixture] compares with a known mixture, and {type(truth).__name__} is not one; give "
                "dataset=mixture or dataset=normal"
            )
        weights, means, covariances = truth.components()
        self._truth = weights[None], means[None], covariances[None]

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family."""
        _mixture(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `l2_distance`, `components_lost` and `em_rounds`."""
        model = _mixture(subject.model)
        fitted = model.components()
        square = overlap(fitted, fitted) - 2 * overlap(fitted, self._truth) + overlap(self._truth, self._truth)
        return {
            "l2_distance": replicas.mean(square.clamp(min=0).sqrt().numpy()),
            "components_lost": replicas.share(model.lost.any(1).numpy()),
            "em_rounds": replicas.mean(model.rounds.numpy()),
        }


def overlap(one: Mixture, other: Mixture) -> Tensor:
    """Return ∫ p q = Σ_ij w_i v_j N(m_i; n_j, Σ_i + Σ'_j) of R pairs of mixtures.

    Args:
        one: Weights (R, k), means (R, k, d) and covariances (R, k, d, d) of p; R may be 1.
        other: The same of q.

    Returns:
        The integral of each pair, (R,); inf where a sum of covariances is singular.
    """
    apart = one[1][:, :, None] - other[1][:, None]
    root, failed = torch.linalg.cholesky_ex(one[2][:, :, None] + other[2][:, None])
    d = apart.shape[-1]
    squares = torch.linalg.solve_triangular(root, apart[..., None], upper=False).square().sum((-2, -1))
    log_determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    density = (-0.5 * (squares + log_determinant + d * math.log(2 * math.pi))).exp().masked_fill(failed > 0, math.inf)
    total: Tensor = (one[0][:, :, None] * other[0][:, None] * density).sum((1, 2))
    return total


def _mixture(model: object) -> GaussianMixture:
    if not isinstance(model, GaussianMixture):
        raise UserError(f"probes=[mixture] needs model=gmm; {type(model).__name__} is another family")
    return model
