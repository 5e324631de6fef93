"""Batches of covariances, some of which may be singular, because a collapsing chain goes there."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Covariance = Literal["full", "diagonal"]
# A share of an axis's variance that the axes before it leave unexplained is rounding alone if it is smaller
ROUNDING = 1e-13


def square_root(covariances: Tensor) -> Tensor:
    """Return A (…, d, d) with A Aᵀ = Σ, of covariances Σ (…, d, d).

    A is Cholesky's root, or the root by the spectrum where Σ is singular.
    """
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariances)
    singular = failed > 0
    if singular.any():
        values, vectors = torch.linalg.eigh(covariances[singular])
        root[singular] = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return root


def log_normal(points: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Return log N(x; μ, Σ).

    Args:
        points: x, (n, R, d).
        means: μ, (R, d).
        covariances: Σ, (R, d, d).

    Returns:
        The logarithms (n, R); -inf where Σ is singular, because nearly no point has a density then.
    """
    root, failed = torch.linalg.cholesky_ex(covariances)
    pivots = root.diagonal(dim1=-2, dim2=-1).square() / covariances.diagonal(dim1=-2, dim2=-1)
    singular = (failed > 0) | ~(pivots.amin(-1) > ROUNDING)
    apart = points.permute(1, 2, 0).contiguous() - means[..., None]
    safe = torch.where(singular[:, None, None], torch.eye(points.shape[-1]).to(root), root)
    squares = torch.linalg.solve_triangular(safe, apart, upper=False).square().sum(1).T
    log_determinant = 2 * safe.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_density: Tensor = -0.5 * (squares + log_determinant + points.shape[-1] * math.log(2 * math.pi))
    return log_density.masked_fill(singular, -math.inf)


def mixture_moments(weights: Tensor, means: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means (R, d) and the covariances (R, d, d) of mixtures.

    Args:
        weights: The weights of the components, (R, k).
        means: The means of the components, (R, k, d).
        covariances: The covariances of the components, (R, k, d, d).
    """
    mean = (weights[..., None] * means).sum(1)
    apart = means - mean[:, None]
    between = apart[..., None] * apart[..., None, :]
    return mean, (weights[..., None, None] * (covariances + between)).sum(1)
