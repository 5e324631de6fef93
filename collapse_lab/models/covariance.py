"""Batches of covariances, singular ones among them, since that is where a collapsing chain goes."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from collapse_lab.errors import UserError, did_you_mean

Covariance = Literal["full", "diagonal"]
ROUNDING = 1e-13  # share of an axis's variance that the axes before it leave unexplained, where that is all rounding


def check_covariance(kind: str) -> str:
    """Refuses another kind of covariance."""
    if kind not in get_args(Covariance):
        raise UserError(
            f"model.covariance is full or diagonal; got '{kind}': {did_you_mean(kind, get_args(Covariance))}"
        )
    return kind


def square_root(covariances: Tensor) -> Tensor:
    """A with A Aᵀ = Σ, of covariances (…, d, d): Cholesky's, or of the spectrum where Σ is singular."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariances)
    singular = failed > 0
    if singular.any():
        values, vectors = torch.linalg.eigh(covariances[singular])
        root[singular] = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return root


def log_normal(points: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """log N(x; μ, Σ) of points (n, R, d), means (R, d) and covariances (R, d, d), as (n, R).

    -inf where Σ is singular: nearly no point has a density then.
    """
    root, failed = torch.linalg.cholesky_ex(covariances)
    pivots = root.diagonal(dim1=-2, dim2=-1).square() / covariances.diagonal(dim1=-2, dim2=-1)
    singular = (failed > 0) | ~(pivots.amin(-1) > ROUNDING)
    apart = points.permute(1, 2, 0).contiguous() - means[..., None]
    safe = torch.where(singular[:, None, None], torch.eye(points.shape[-1]).to(root), root)
    squares = torch.linalg.solve_triangular(safe, apart, upper=False).square().sum(1).T
    log_determinant = 2 * safe.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    found: Tensor = -0.5 * (squares + log_determinant + points.shape[-1] * math.log(2 * math.pi))
    return found.masked_fill(singular, -math.inf)


def mixture_moments(weights: Tensor, means: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Means (R, d) and covariances (R, d, d) of mixtures: weights (R, k), means (R, k, d), covariances (R, k, d, d)."""
    mean = (weights[..., None] * means).sum(1)
    apart = means - mean[:, None]
    between = apart[..., None] * apart[..., None, :]
    return mean, (weights[..., None, None] * (covariances + between)).sum(1)
