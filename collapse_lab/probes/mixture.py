"""A fitted mixture of Gaussians beside the real one."""

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
from collapse_lab.types import Estimate, Subject

Mixture = tuple[Tensor, Tensor, Tensor]


class MixtureDistance:
    """l2_distance: √∫(p - p₀)², mean over replicas. ∫ of two Gaussians is N(m_i; m_j, Σ_i + Σ_j), so that it is exact.

    components_lost: the share of replicas of which EM lost a component.  em_rounds: mean number of rounds of EM.

    truth: the data set.

    Source: the distance that arXiv:2305.17493 draws for mixtures.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any) -> None:
        if not isinstance(truth, KnownComponents):
            raise UserError(
                f"probes=[mixture] compares with a known mixture, and {type(truth).__name__} is none; give "
                "dataset=mixture or dataset=normal"
            )
        weights, means, covariances = truth.components()
        self._truth = weights[None], means[None], covariances[None]

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        model = subject.model
        if not isinstance(model, GaussianMixture):
            raise UserError(f"probes=[mixture] looks at model=gmm; {type(model).__name__} is another family")
        fitted = model.components()
        square = overlap(fitted, fitted) - 2 * overlap(fitted, self._truth) + overlap(self._truth, self._truth)
        return {
            "l2_distance": replicas.mean(square.clamp(min=0).sqrt().numpy()),
            "components_lost": replicas.share(model.lost.any(1).numpy()),
            "em_rounds": replicas.mean(model.rounds.numpy()),
        }


def overlap(one: Mixture, other: Mixture) -> Tensor:
    """∫ p q = Σ_ij w_i v_j N(m_i; n_j, Σ_i + Σ'_j) of R pairs of mixtures, (R,); inf where a sum is singular."""
    apart = one[1][:, :, None] - other[1][:, None]
    root, failed = torch.linalg.cholesky_ex(one[2][:, :, None] + other[2][:, None])
    d = apart.shape[-1]
    squares = torch.linalg.solve_triangular(root, apart[..., None], upper=False).square().sum((-2, -1))
    log_determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    density = (-0.5 * (squares + log_determinant + d * math.log(2 * math.pi))).exp().masked_fill(failed > 0, math.inf)
    total: Tensor = (one[0][:, :, None] * other[0][:, None] * density).sum((1, 2))
    return total
