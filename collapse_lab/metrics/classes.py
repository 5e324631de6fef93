"""Measure which classes the generated samples belong to, and how evenly."""

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
from collapse_lab.metrics.catalogue import CLASS_SHARE
from collapse_lab.metrics.interaction import pair_contributions, random_pairs
from collapse_lab.metrics.intervals import around, wilson
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Count, Estimate, FeatureSet, Resamplings, Split


def classes_of(real: FeatureSet) -> Int[Tensor, " c"]:
    """Return the classes of a real set in rising order: those of its labels, or without any label, of its predictions.

    A real row that the classifier misreads adds no class this way, because labels come first. Such a class would be
    one that no generator can be expected to give.

    Args:
        real: a feature set; its labels are -1 where a row has none.
    """
    classes_seen = real.labels[real.labels >= 0]
    if not len(classes_seen) and real.predicted is not None:
        classes_seen = real.predicted
    classes: Tensor = torch.unique(classes_seen)
    return classes


def class_counts(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
    """Return the number of rows that are predicted as each class."""
    return (predicted[:, None] == classes).sum(0)


def mode_coverage(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"], least: int = 1) -> float:
    """Return the mean over the classes of 1[at least `least` rows are predicted as the class].

    Its expectation rises with n.

    Args:
        predicted: the predicted class of each generated row.
        classes: the classes of the real set, without repetition.
        least: the number of rows from which on a class counts as covered, 1 or more.

    Returns:
        A share in [0, 1].

    Raises:
        UserError: no rows, no classes, or least < 1.

    Source: the number of modes of Metz et al., arXiv:1611.02163, as a share.
    """
    return _mode_coverage(predicted, classes, least).value


def _mode_coverage(predicted: Int[Tensor, " n"], classes: Int[Tensor, " c"], least: int) -> Estimate:
    """Return mode coverage with an interval of its expectation at this n.

    A class of share p has `least` rows of n with the probability P(Bin(n, p) >= least). The ends of p's exact
    interval (Clopper and Pearson) bound this probability. The squares of the distances to these bounds are summed
    over the classes, as in Zou and Donner, Statistics in Medicine 27 (2008).
    """
    from scipy.stats import beta, binom

    if least < 1:
        raise UserError(f"least is {least}, and has to be 1 or more: it is the number of rows that cover a class")
    n = len(predicted)
    if not n or not len(classes):
        raise UserError(f"{n} predictions and {len(classes)} classes were given, and each should be 1 or more")
    counts = class_counts(predicted, classes).cpu().numpy()
    hits = (counts >= least).astype(float)
    lowest = np.where(counts > 0, beta.ppf(0.025, counts, n - counts + 1), 0.0)
    highest = np.where(counts < n, beta.ppf(0.975, counts + 1, n - counts), 1.0)
    down, up = hits - binom.sf(least - 1, n, lowest), binom.sf(least - 1, n, highest) - hits
    value = float(hits.mean())
    below, above = (math.sqrt(float((distances**2).sum())) / len(hits) for distances in (down, up))
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def class_entropy(predicted: Int[Tensor, " n"]) -> float:
    """Return -sum_k p_k log p_k in nats, with p_k the share of rows that are predicted as class k.

    The value is the one at this n, without a correction, because its floor is of the same n. It lies below the
    entropy of the distribution behind the rows by about (classes - 1) / 2n. The correction of Miller and Madow would
    add this difference, and would sometimes exceed log(classes).

    Args:
        predicted: the predicted class of each generated row.

    Returns:
        Nats in [0, log(classes)].

    Raises:
        UserError: no rows.
    """
    return float(_surprise(predicted).mean())


def _surprise(predicted: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return -log p of each row's class: the mean is the entropy, and a row's deviation from it is its influence."""
    if not len(predicted):
        raise UserError("no predicted classes were given, and a histogram takes 1 row or more")
    _, index, counts = torch.unique(predicted, return_inverse=True, return_counts=True)
    return -torch.log(counts.double() / len(predicted))[index]


@dataclass
class Classes:
    """Measure the histogram of the predicted classes of generated samples, and its variety.

    The result is empty where the features come from no classifier. The floor is that of as many held-out real rows.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval of the entropy; below 2 it has none.
        least: the number of rows from which on a class counts as covered, 1 or more.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    against: ClassVar[Split] = "reference"
    needs: ClassVar[str] = "predicted"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200
    least: Count = 1

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `mode_coverage`, `class_entropy`, and `class_share_<k>` for each class k of the real set; or nothing.

        Raises:
            UserError: as `validated`, or least < 1.
        """
        classes = classes_of(real)
        if generated.predicted is None or not len(classes):
            return {}
        validated(generated.values, real.values)  # because the predicted class of NaN means nothing
        predicted = generated.predicted
        surprise = _surprise(predicted)
        i, j = random_pairs(len(predicted), rng)
        of_pairs = pair_contributions(1 - torch.exp(surprise[i]) * (predicted[i] == predicted[j]), len(predicted))
        summary = {
            "mode_coverage": _mode_coverage(predicted, classes, self.least),
            "class_entropy": around(float(surprise.mean()), [surprise, of_pairs], rng, self.bootstrap, low=0.0),
        }
        counts = zip(classes.tolist(), class_counts(predicted, classes).tolist(), strict=True)
        return summary | {f"{CLASS_SHARE}{k}": wilson(count, len(predicted)) for k, count in counts}
