"""The metrics with their intervals, computed in double precision from whole matrices, as their definitions read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from collapse_lab.metrics.intervals import SUBSET, Z, around, share, variance, wilson, without_noise_of_the_slope
from collapse_lab.types import Estimate

Found = Mapping[str, Estimate]


def distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


def kid(x: Tensor, y: Tensor, rng: np.random.Generator) -> Found:
    x, y = x.double(), y.double()
    n, m = len(x), len(y)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    of_x, of_y, across = kernel(x, x), kernel(y, y), kernel(x, y)
    xx, yy = ((k.sum(1) - k.diagonal()) / (len(k) - 1) for k in (of_x, of_y))
    xy, yx = across.mean(1), across.mean(0)

    def mean_square(k: Tensor, rows: Tensor, columns: Tensor, same: bool) -> float:
        generator = torch.Generator().manual_seed(1)
        i, j = (torch.randint(size, (2000,), generator=generator) for size in k.shape)
        i, j = (i[i != j], j[i != j]) if same else (i, j)
        return float((k[i, j] - rows[i] - columns[j] + rows.mean()).square().mean())

    of_pairs = 2 * mean_square(of_x, xx, xx, True) / n**2 + 2 * mean_square(of_y, yy, yy, True) / m**2
    of_pairs += 4 * mean_square(across, xy, yx, False) / (n * m)
    influence = [2 * (xx - xy), 2 * (yy - yx)]
    total = variance(influence)
    shrunk = [part * math.sqrt(max(total - of_pairs, of_pairs) / total) for part in influence]
    return {"kid": around(float(xx.mean() + yy.mean() - 2 * xy.mean()), shrunk, rng, 200)}


def prdc_values(x: Tensor, y: Tensor, k: int = 5) -> dict[str, float]:
    reach_x, reach_y = (distances(rows, rows).kthvalue(k + 1, dim=1).values for rows in (x, y))
    across = distances(x, y)
    in_y, in_x = across <= reach_y * (1 + 1e-12), across <= reach_x[:, None] * (1 + 1e-12)
    shares = {"precision": in_y.any(1), "recall": in_x.any(0), "coverage": in_y.any(0)}
    density = float(in_y.double().sum(1).mean()) / k
    return {**{name: float(flags.double().mean()) for name, flags in shares.items()}, "density": density}


def prdc(x: Tensor, y: Tensor, rng: np.random.Generator) -> Found:
    sizes, values = (len(x), len(y)), prdc_values(x, y)
    fraction = min(0.5, SUBSET / max(sizes))
    counts = [min(size, max(6, round(fraction * size))) for size in sizes]
    drawn = []
    for _ in range(40):
        rows = [
            torch.from_numpy(rng.choice(size, count, replace=False)) for size, count in zip(sizes, counts, strict=True)
        ]
        drawn.append(list(prdc_values(x[rows[0]], y[rows[1]]).values()))
    spread = np.std(drawn, axis=0, ddof=1) * math.sqrt(fraction / (1 - fraction))
    errors = dict(zip(values, map(float, spread), strict=True))
    estimates = {
        name: share(values[name], n, errors[name])
        for name, n in (("precision", len(x)), ("recall", len(y)), ("coverage", len(y)))
    }
    density, half = values["density"], Z * errors["density"]
    return {**estimates, "density": Estimate(density, max(0.0, density - half), density + half)}


def memorisation(x: Tensor, y: Tensor, rng: np.random.Generator) -> Found:
    del rng
    y = torch.unique(y, dim=0)
    near, index = distances(x, y).topk(2, largest=False)
    apart = distances(y, y).kthvalue(2, dim=1).values[index[:, 0]]
    flags = {"authenticity": near[:, 0] > apart, "near_copies": near[:, 0] <= near[:, 1] / 3}
    return {name: wilson(int(flag.sum()), len(flag)) for name, flag in flags.items()}


def fid_parts(x: Tensor, y: Tensor) -> tuple[float, list[Tensor]]:
    shift = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    # tr sqrt(S1 S2) is the sum of singular values of X Yᵀ, and x_iᵀ T1 x_i = (n - 1) (U sigma Uᵀ)_ii
    left, sigma, right = torch.linalg.svd(x @ y.T, full_matrices=False)
    n, m = len(x) - 1, len(y) - 1
    sigma = sigma / math.sqrt(n * m)
    rest = shift @ shift + (x**2).sum() / n + (y**2).sum() / m
    of_x = (x**2).sum(1) + 2 * x @ shift - n * (left**2 @ sigma)
    of_y = (y**2).sum(1) - 2 * y @ shift - m * (sigma @ right**2)
    return max(0.0, float(rest - 2 * sigma.sum())), [of_x, of_y]


def fid(x: Tensor, y: Tensor, rng: np.random.Generator) -> Found:
    x, y = x.double(), y.double()
    value, influence = fid_parts(x, y)
    halves = [rows[torch.from_numpy(rng.permutation(len(rows))[::2].copy())] for rows in (x, y)]
    shrunk = without_noise_of_the_slope(influence, fid_parts(*halves)[1])
    return {"fid": around(value, shrunk, rng, 200, low=0.0, root=True)}


def vendi(x: Tensor, y: Tensor, rng: np.random.Generator) -> Found:
    del y
    units = torch.nn.functional.normalize(x.double(), dim=1)
    n = len(units)
    _, sigma, axes = torch.linalg.svd(units, full_matrices=False)
    values = sigma**2 / n
    kept = values > 1e-13 * values[0]
    values, rows = values[kept], units @ axes[kept].T
    logs = values.log()
    score = math.exp(-float(values @ logs))
    influence = rows**2 @ (-score * logs)
    # The second derivative of the entropy by Daleckii and Krein: divided differences of -log
    gaps = values[:, None] - values
    close = gaps.abs() <= 1e-6 * values
    divided = torch.where(close, -score / values, -score * (logs[:, None] - logs) / torch.where(close, 1.0, gaps))
    order = torch.from_numpy(rng.permutation(n)[:1000])
    first, second = rows[order], rows[order.roll(1)]
    diagonal = divided.diagonal() * values
    across = first * second
    second_derivative = ((across @ divided) * across).sum(1) - (first**2 + second**2) @ diagonal + diagonal @ values
    of_pairs = second_derivative * math.sqrt(len(order) / 2) / n
    return {"vendi": around(score, [influence, of_pairs], rng, 200, low=1.0, high=float(n))}
