"""k-means of many sets of points at once, whose clusters EM starts from."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 20  # at most, because EM goes on from there
TOL = 1e-4  # the rounds end once the squared movement of the centres is below this share of the points' variance


def k_means(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return clusters with the least sum of squares within them (a local minimum).

    The centres start from k-means++ (Arthur and Vassilvitskii, SODA 2007), and Lloyd's rounds follow.

    Args:
        points: R sets of n points, (R, d, n).
        k: The number of clusters.
        generator: The generator of the first centres.

    Returns:
        The memberships (R, k, n) in the dtype of the points: 0 or 1, and 1/2 in each of two clusters whose centres are
        equally near.
    """
    centred = points - points.mean(2, keepdim=True)
    # EM's start needs few digits, and float32 takes half of the time
    centred = (centred / centred.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(points.dtype).tiny)).float()
    centres = _seeded(centred, k, generator)
    least = TOL * centred.square().mean((1, 2))
    working, moving = torch.arange(len(points)), centred
    for _ in range(ROUNDS):
        old = centres[working]
        members = _nearest(moving, old)
        counts = members.sum(2, keepdim=True)
        # A cluster without points has no mean, so its centre stays
        new = torch.where(counts > 0, members @ moving.transpose(1, 2) / counts.clamp(min=0.5), old)
        centres[working] = new
        far = (new - old).square().sum((1, 2)) > least[working]
        if not far.any():
            break
        if 3 * int(far.sum()) <= 2 * len(far):  # because copying has a cost, drop settled sets only when they are many
            working, moving = working[far], moving[far]
    return _nearest(centred, centres).to(points.dtype)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Return memberships (R, k, n): 1 where x·c - |c|²/2 is the largest, that is where |x - c| is the smallest."""
    scores = torch.baddbmm(centres.square().sum(2, keepdim=True), centres, points, beta=-0.5)
    members = (scores == scores.amax(1, keepdim=True)).to(points.dtype)
    return members.div_(members.sum(1, keepdim=True))


def _seeded(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return k centres (R, k, d) among the points.

    Each is drawn in proportion to its squared distance to the nearest centre before it.
    """
    r, d, n = points.shape
    nearest = torch.full_like(points[:, 0], torch.inf)
    row = torch.randint(n, (r, 1), generator=generator)
    chosen: list[Tensor] = []
    for _ in range(k):
        chosen.append(points.gather(2, row[:, None].expand(-1, d, -1))[..., 0])
        nearest = torch.minimum(nearest, (points - chosen[-1][..., None]).square().sum(1))
        below = nearest.cumsum(1)
        chance = torch.rand(r, 1, generator=generator)
        row = torch.searchsorted(below, chance * below[:, -1:], right=True).clamp(max=n - 1)
    return torch.stack(chosen, 1)
