"""k-means of many sets of points at once: where EM starts."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 20  # at most: EM goes on from there
TOL = 1e-4  # of the points' variance: the square by which centres still move when the rounds end


def k_means(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Clusters of least within-cluster squares (a local minimum), as memberships 0 or 1, (R, k, n) float64.

    points: (R, d, n); one between two centres belongs to both by halves. Seeded by k-means++ (Arthur and
    Vassilvitskii, SODA 2007), then Lloyd's rounds.
    """
    centred = points - points.mean(2, keepdim=True)
    # Where EM starts need not be known to more digits, and half of them take half of the time
    centred = (centred / centred.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(points.dtype).tiny)).float()
    centres = _seeded(centred, k, generator)
    least = TOL * centred.square().mean((1, 2))
    working, some = torch.arange(len(points)), centred
    for _ in range(ROUNDS):
        old = centres[working]
        members = _nearest(some, old)
        counts = members.sum(2, keepdim=True)
        # A cluster that no point is nearest to stays where it is
        new = torch.where(counts > 0, members @ some.transpose(1, 2) / counts.clamp(min=0.5), old)
        centres[working] = new
        far = (new - old).square().sum((1, 2)) > least[working]
        if not far.any():
            break
        if 3 * int(far.sum()) <= 2 * len(far):  # sets that have settled are left behind by and by
            working, some = working[far], some[far]
    return _nearest(centred, centres).to(points.dtype)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """1 where x·c - |c|²/2 is the largest, that is |x - c| the smallest; (R, k, n)."""
    scores = torch.baddbmm(centres.square().sum(2, keepdim=True), centres, points, beta=-0.5)
    members = (scores == scores.amax(1, keepdim=True)).to(points.dtype)
    return members.div_(members.sum(1, keepdim=True))


def _seeded(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k centres (R, k, d) among the points, each drawn in proportion to its squared distance to those before."""
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
