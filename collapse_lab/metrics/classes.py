"""Which classes the samples are of, and how evenly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.interaction import in_pairs, pairs
from collapse_lab.metrics.intervals import around, wilson
from collapse_lab.metrics.pairs import valid
from collapse_lab.types import Estimate, FeatureSet, Split


def classes_of(real: FeatureSet) -> Int[Tensor, " c"]:
    """The classes of a real set, rising: its rows' labels, or where none has one, what they are read as.

    A real row that is misread adds no class that way, in which nothing is to be expected of a generator.
    """
    read = real.labels[real.labels >= 0]
    if not len(read) and real.predicted is not None:
        read = real.predicted
    classes: Tensor = torch.unique(read)
    return classes


def class_counts(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
    """The number of rows that are read as each class."""
    return (predicted[:, None] == classes).sum(0)


def mode_coverage(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"], least: int = 1) -> float:
    """Mean over the classes of 1[at least `least` rows are read as it].

    Range: [0, 1]. Its expectation rises with n.
    Raises: UserError for no rows, no class, and least < 1.
    Source: the number of modes of Metz et al., arXiv:1611.02163, as a share.
    """
    return _mode_coverage(predicted, classes, least).value


def _mode_coverage(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"], least: int) -> Estimate:
    """With an interval of what is expected at this n: that of each class by itself, added in squares.

    A class of share p has `least` rows of n with the probability P(Bin(n, p) >= least), which the ends of p's exact
    interval (Clopper and Pearson) bound. The squares of the distances to these bounds are summed over the classes,
    as in Zou and Donner, Statistics in Medicine 27 (2008).
    """
    from scipy.stats import beta, binom

    if least < 1:
        raise UserError(f"least is {least}, and a class counts from 1 row on")
    n = len(predicted)
    if not n or not len(classes):
        raise UserError(f"{n} predictions and {len(classes)} classes were given, and each should be 1 or more")
    counts = class_counts(predicted, classes).cpu().numpy()
    hits = (counts >= least).astype(float)
    lowest = np.where(counts > 0, beta.ppf(0.025, counts, n - counts + 1), 0.0)
    highest = np.where(counts < n, beta.ppf(0.975, counts + 1, n - counts), 1.0)
    down, up = hits - binom.sf(least - 1, n, lowest), binom.sf(least - 1, n, highest) - hits
    value = float(hits.mean())
    below, above = (math.sqrt(float((part**2).sum())) / len(hits) for part in (down, up))
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def class_entropy(predicted: Int[Tensor, " n"]) -> float:
    """-sum_k p_k log p_k in nats, p_k the share of rows that are read as class k.

    As it is at this n, like everything beside a floor at the same n: below that of the distribution behind the rows
    by about (classes - 1) / 2n, which the correction of Miller and Madow would add, at times beyond log(classes).

    Range: [0, log(classes)].
    Raises: UserError for no rows.
    """
    return float(_surprise(predicted).mean())


def _surprise(predicted: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """-log p of each row's class, whose mean is the entropy, and whose deviation from it the influence."""
    if not len(predicted):
        raise UserError("no predicted classes were given, and a histogram takes 1 row or more")
    _, index, counts = torch.unique(predicted, return_inverse=True, return_counts=True)
    return -torch.log(counts.double() / len(predicted))[index]


@dataclass
class Classes:
    """The histogram of the classes that generated samples are read as, and what it says of variety.

    Empty where the features come from no classifier. The floor is that of as many held-out real rows.

    least: from how many rows on a class is covered.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200
    least: int = 1

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`mode_coverage`, `class_entropy`, and `class_share_<k>` for each class k of the real set; or nothing."""
        classes = classes_of(real)
        if generated.predicted is None or not len(classes):
            return {}
        valid(generated.values, real.values)  # what is read off NaN is no class
        predicted = generated.predicted
        surprise = _surprise(predicted)
        i, j = pairs(len(predicted), rng)
        together = in_pairs(1 - torch.exp(surprise[i]) * (predicted[i] == predicted[j]), len(predicted))
        found = {
            "mode_coverage": _mode_coverage(predicted, classes, self.least),
            "class_entropy": around(float(surprise.mean()), [surprise, together], rng, self.bootstrap, low=0.0),
        }
        counts = zip(classes.tolist(), class_counts(predicted, classes).tolist(), strict=True)
        return found | {f"class_share_{k}": wilson(count, len(predicted)) for k, count in counts}
