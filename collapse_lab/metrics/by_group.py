"""Measure which groups of a prompt set survive: its classes, or its prompts where a prompt belongs to no class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.catalogue import GROUP_COVERAGE, GROUP_KID, GROUP_RECALL, LEAST_RECALL
from collapse_lab.metrics.intervals import Z, around, error_of_subsets, share, subsets
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Comparison, Count, Estimate, FeatureSet, Resamplings, Share, Split


def surviving(recalls: Sequence[Estimate], least: float) -> Estimate:
    """Return the mean over the groups of 1[recall >= least], with an interval for new draws of the rows.

    A group whose recall r has the standard error s is found at or above `least` with the probability
    p = 1 - Phi((least - r) / s), each group by itself. So the interval is the mean ± 1.96 sqrt(sum p (1 - p)) / groups,
    clipped to [0, 1]. It has no width where every group lies far from `least`.

    Args:
        recalls: the recall of each group, one or more; s is the width of its interval over 3.92.
        least: the recall from which on a group counts as surviving.

    Returns:
        A share in [0, 1]; without an interval where a recall has none.
    """
    value = sum(recall.value >= least for recall in recalls) / len(recalls)
    chances = []
    for recall in recalls:
        if recall.lo is None or recall.hi is None:
            return Estimate(value)
        error = _error(recall.lo, recall.hi)
        away = (recall.value - least) / (math.sqrt(2) * error) if error > 0 else math.inf
        chances.append(0.5 * (1 + math.erf(away)))
    half = Z * math.sqrt(sum(p * (1 - p) for p in chances)) / len(recalls)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def dispersion(values: Sequence[Estimate], most: float = math.inf) -> Estimate:
    """Return s = sqrt(sum (v - mean)² / groups), the standard deviation of v over groups, with an interval.

    The sum is divided by the number of groups, because they are all the groups that there are and not a sample of more.

    The interval is for new draws of the rows, each group by itself. A group whose v has the standard error e moves s by
    (v - mean) / (groups s) for each unit of v. So the interval is s ± 1.96 sqrt(sum ((v - mean) e)²) / (groups s),
    clipped to [0, most]. Where all groups are equal, s has no slope. New draws then give at most about
    sqrt(sum e² / groups), and 1.96 times this is the half width.

    The noise of each group is part of s: it is above 0 also where all groups are alike. The floor has this noise too.

    Args:
        values: a number of each group, two or more; e is the width of its interval over 3.92.
        most: the greatest possible value: 0.5 for shares.

    Returns:
        A number in [0, most]; without an interval where a group has none.
    """
    v = np.array([value.value for value in values])
    away = v - v.mean() if v.min() < v.max() else np.zeros(len(v))  # because the mean of equal numbers may be rounded
    s = math.sqrt(float(np.mean(away**2)))
    errors = []
    for value in values:
        if value.lo is None or value.hi is None:
            return Estimate(s)
        errors.append(_error(value.lo, value.hi))
    slopes = away / (len(v) * s) if s > 0 else np.full(len(v), len(v) ** -0.5)
    half = Z * math.sqrt(float(np.sum((slopes * np.array(errors)) ** 2)))
    return Estimate(s, max(0.0, s - half), min(most, s + half))


def _error(lo: float, hi: float) -> float:
    """Return the standard error of which an interval is 3.92 times as wide."""
    return (hi - lo) / (2 * Z)


@dataclass
class ByGroup:
    """Measure recall, coverage and kernel distance of each group of a prompt set, and the share of groups that survive.

    The group of a row is its class, or its prompt where some prompt of the set belongs to no class. The generated rows
    that were asked for as a group are compared with the real rows of this group alone. So a group vanishes both where
    its images become alike, and where they become those of other groups. Groups with too few rows for k on either
    side are left out.

    Recall is the share of real rows in the ball of some generated row. Coverage is the share of real rows that have a
    generated row in their own ball. Noise has large balls, so its recall may be high, and its coverage is low.

    How unlike the groups are is the standard deviation over groups of recall and of the kernel distance (`dispersion`).

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of subsets behind the intervals; below 2 there are none.
        k: the ball of a row reaches to its k-th nearest other row of its group, below the number of rows of a group.
        least: the recall from which on a group counts as surviving.
        most: the most groups of which each has numbers of its own in the ledger; of more groups, only their summary
            has.
    """

    version: ClassVar[int] = 1
    additions: ClassVar[int] = 1  # the standard deviations over groups
    floored: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 40
    k: Count = 3
    least: Share = LEAST_RECALL
    most: Count = 32

    def check_run(self, comparison: Comparison) -> None:
        """Refuse a k that no group of generated rows admits."""
        each = -(-comparison.generated // comparison.groups)
        if each <= self.k:
            raise UserError(
                f"{comparison.generated} samples of {comparison.groups} groups are {each} a group, and k={self.k} "
                f"takes {self.k + 1} or more; raise n_samples to {comparison.groups * (self.k + 1)}, or lower k"
            )

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the summary over groups, and the numbers of each group g.

        The summary is `groups_surviving`, `group_recall_lowest` and, of two groups or more, `group_recall_sd` and
        `group_kid_sd`. The numbers of a group are `group_recall_<g>`, `group_coverage_<g>` and `group_kid_<g>`.

        Raises:
            UserError: as `validated`, or no group has more than k rows on both sides.
        """
        validated(generated.values, real.values)
        of_generated, of_real = groups_of(generated), groups_of(real)
        found: dict[int, Mapping[str, Estimate]] = {}
        for group in torch.unique(of_generated[of_generated >= 0]).tolist():
            x, y = generated.values[of_generated == group].double(), real.values[of_real == group].double()
            if min(len(x), len(y)) > self.k:
                recall, coverage = _reached(x, y, self.k, rng, self.bootstrap)
                kid = _kid(x, y, rng, self.bootstrap)
                found[group] = {GROUP_RECALL: recall, GROUP_COVERAGE: coverage, GROUP_KID: kid}
        if not found:
            raise UserError(
                f"no group has more than k={self.k} generated rows and more than {self.k} real ones; raise n_samples, "
                "give real rows with the classes or the prompts as captions, or leave by_group out of metrics=[…]"
            )
        recalls = [estimates[GROUP_RECALL] for estimates in found.values()]
        summary = {
            "groups_surviving": surviving(recalls, self.least),
            "group_recall_lowest": min(recalls, key=lambda recall: recall.value),
        }
        if len(found) > 1:
            kids = [estimates[GROUP_KID] for estimates in found.values()]
            summary |= {"group_recall_sd": dispersion(recalls, 0.5), "group_kid_sd": dispersion(kids)}
        if len(found) > self.most:
            return summary
        return summary | {f"{name}{g}": e for g, estimates in found.items() for name, e in estimates.items()}


def groups_of(features: FeatureSet) -> Tensor:
    """Return the group (n,) of each row: what the engine numbered, or else its label; below 0 it has none."""
    return features.labels if features.groups is None else features.groups


def _reached(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], k: int, rng: np.random.Generator, bootstrap: int
) -> tuple[Estimate, Estimate]:
    """Return recall and coverage of `prdc`.

    Recall is the share of rows of y in the ball of some row of x. Coverage is the share of rows of y with a row of x in
    their ball. A ball reaches to the k-th nearest other row of its own side. A group has tens of rows, so all distances
    are held, in double precision.
    """
    of_x, of_y, across = (
        torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") for a, b in ((x, x), (y, y), (x, y))
    )

    def shares(rows: Tensor, real: Tensor) -> tuple[float, float]:
        # The nearest row is the row itself
        radii = of_x[rows][:, rows].kthvalue(k + 1, dim=1).values
        real_radii = of_y[real][:, real].kthvalue(k + 1, dim=1).values
        between = across[rows][:, real]
        recalled, covered = (near.any(0).double().mean() for near in (between <= radii[:, None], between <= real_radii))
        return float(recalled), float(covered)

    values = shares(torch.arange(len(x)), torch.arange(len(y)))
    if bootstrap < 2:
        return Estimate(values[0]), Estimate(values[1])
    sizes = len(x), len(y)
    drawn = [map(torch.from_numpy, rows) for rows in subsets(sizes, rng, bootstrap, least=k + 1)]
    errors = error_of_subsets(np.array([shares(*rows) for rows in drawn]), sizes)
    recall, coverage = (share(value, len(y), float(error)) for value, error in zip(values, errors, strict=True))
    return recall, coverage


def _kid(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rng: np.random.Generator, bootstrap: int) -> Estimate:
    """Return `kernel_distance` of x and y, with an interval from what each row contributes."""

    def means(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        kernel = ((a @ b.T) / a.shape[1] + 1) ** 3
        if a is b:
            kernel.fill_diagonal_(0)
        return kernel.sum(1) / (len(b) - (a is b)), kernel.sum(0) / len(a)

    xx, yy, (xy, yx) = means(x, x)[0], means(y, y)[0], means(x, y)
    value = float(xx.mean() + yy.mean() - 2 * xy.mean())
    return around(value, [2 * (xx - xy), 2 * (yy - yx)], rng, bootstrap)
