"""Offer the metrics as `torchmetrics.Metric`, for training and evaluation loops outside this laboratory.

`update` takes batches of features. `compute` returns what the metric's function returns for all rows so far. A
comparison needs rows of both kinds before it can be computed. Calling such a metric on a batch computes it on that
batch alone, so it is refused.

    >>> import torch
    >>> from torchmetrics import MetricCollection
    >>> from collapse_lab.metrics.wrapped import FID, Vendi
    >>> real, generated = torch.eye(4).repeat(5, 1), torch.eye(4)[:2].repeat(10, 1)
    >>> metrics = MetricCollection([FID(), Vendi()])
    >>> metrics.update(real, real=True)
    >>> for batch in generated.split(5):
    ...     metrics.update(batch, real=False)
    >>> {name: round(float(value), 3) for name, value in metrics.compute().items()}
    {'FID': 0.821, 'Vendi': 2.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse_lab.metrics.accumulated import AccumulatedRows, Comparison, Variety
from collapse_lab.metrics.catalogue import CLASS_SHARE
from collapse_lab.metrics.classes import class_counts, class_entropy, mode_coverage
from collapse_lab.metrics.clip_score import clip_score
from collapse_lab.metrics.cmmd import cmmd
from collapse_lab.metrics.diversity import Distance, pairwise_distance
from collapse_lab.metrics.fd_infinity import fd_infinity
from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.memorisation import memorisation
from collapse_lab.metrics.prdc import prdc
from collapse_lab.metrics.vendi import vendi_score


class FID(Comparison):
    """Compute `frechet_distance` of all rows.

    >>> metric = FID()
    >>> metric.update(torch.tensor([[0.0], [2.0]]), real=True)
    >>> metric.update(torch.tensor([[3.0], [5.0]]), real=False)
    >>> metric.compute()
    tensor(9.)
    """

    quantities = ("fid",)

    def compare(self, generated: Tensor, real: Tensor) -> float:
        """Return the Fréchet distance of two feature matrices."""
        return frechet_distance(generated, real)


class FDInfinity(Comparison):
    """Compute `fd_infinity` of all rows, which `seed` cuts into random blocks.

    >>> metric = FDInfinity(blocks=2)
    >>> metric.update(torch.arange(8.0)[:, None], real=True)
    >>> metric.update(torch.arange(8.0)[:, None], real=False)
    >>> bool(metric.compute() <= 0)
    True

    Args:
        blocks: the most blocks that the rows are cut into, 2 or more.
        seed: of the generator that draws the blocks.
    """

    quantities = ("fd_infinity",)

    def __init__(self, blocks: int = 3, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks, self.seed = blocks, seed

    def compare(self, generated: Tensor, real: Tensor) -> float:
        """Return the extrapolated Fréchet distance of two feature matrices."""
        return fd_infinity(generated, real, np.random.default_rng(self.seed), self.blocks)


class KID(Comparison):
    """Compute `kernel_distance` of all rows.

    >>> metric = KID()
    >>> metric.update(torch.tensor([[0.0], [1.0]]), real=True)
    >>> metric.update(torch.tensor([[0.0], [1.0]]), real=False)
    >>> metric.compute()
    tensor(-3.5000)
    """

    quantities = ("kid",)

    def compare(self, generated: Tensor, real: Tensor) -> float:
        """Return the kernel distance of two feature matrices."""
        return kernel_distance(generated, real)


class CMMD(Comparison):
    """Compute `cmmd` of all rows.

    >>> metric = CMMD(sigma=1.0)
    >>> metric.update(torch.eye(2)[[0, 0]], real=True)
    >>> metric.update(torch.eye(2)[[1, 1]], real=False)
    >>> metric.compute()  # 2000 (1 - 1/e)
    tensor(1264.2411)

    Args:
        sigma: the width of the Gaussian kernel, above 0.
    """

    quantities = ("cmmd",)

    def __init__(self, sigma: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sigma = sigma

    def compare(self, generated: Tensor, real: Tensor) -> float:
        """Return the CLIP kernel distance of two feature matrices."""
        return cmmd(generated, real, self.sigma)


class PRDC(Comparison):
    """Compute `prdc` of all rows.

    >>> metric = PRDC(k=1)
    >>> metric.update(torch.arange(4.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[0.0], [0.5], [9.0]]), real=False)
    >>> {name: round(float(value), 2) for name, value in sorted(metric.compute().items())}
    {'coverage': 0.5, 'density': 1.33, 'precision': 0.67, 'recall': 1.0}

    Args:
        k: the ball of a row reaches to its k-th nearest other row; 1 or more, and below the number of rows.
    """

    quantities = ("precision", "recall", "density", "coverage")

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def compare(self, generated: Tensor, real: Tensor) -> Mapping[str, float]:
        """Return precision, recall, density and coverage of two feature matrices."""
        return prdc(generated, real, self.k)


class Memorisation(Comparison):
    """Compute `memorisation` of all rows; the real rows are the training rows.

    >>> metric = Memorisation()
    >>> metric.update(torch.arange(4.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[0.0], [1.1], [1.5], [9.0]]), real=False)
    >>> {name: float(value) for name, value in metric.compute().items()}
    {'authenticity': 0.25, 'near_copies': 0.5}
    """

    quantities = ("authenticity", "near_copies")

    def compare(self, generated: Tensor, real: Tensor) -> Mapping[str, float]:
        """Return authenticity and the share of near copies."""
        return memorisation(generated, real)


class Vendi(Variety):
    """Compute `vendi_score` of all generated rows.

    >>> metric = Vendi()
    >>> metric(torch.eye(3))
    tensor(3.)

    Args:
        q: the order of the entropy, above 0; infinity is the largest.
    """

    quantities = ("vendi",)

    def __init__(self, q: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.q = q

    def score(self, generated: Tensor) -> float:
        """Return the Vendi score of one feature matrix."""
        return vendi_score(generated, self.q)


class PairwiseDistance(Variety):
    """Compute `pairwise_distance` of all generated rows.

    >>> metric = PairwiseDistance()
    >>> metric(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor(5.)

    Args:
        distance: the distance of two rows.
    """

    quantities = ("pairwise_distance",)

    def __init__(self, distance: Distance = "euclidean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = distance

    def score(self, generated: Tensor) -> float:
        """Return the mean distance between the rows of one feature matrix."""
        return pairwise_distance(generated, self.distance)


class Classes(AccumulatedRows):
    """Compute `mode_coverage`, `class_entropy` and the share of each class, of all predicted classes.

    >>> metric = Classes(classes=3)
    >>> {name: round(float(value), 3) for name, value in metric(torch.tensor([0, 0, 1, 1])).items()}
    {'mode_coverage': 0.667, 'class_entropy': 0.693, 'class_share_0': 0.5, 'class_share_1': 0.5, 'class_share_2': 0.0}

    Args:
        classes: how many classes there are, numbered from 0.
        least: the number of rows from which on a class counts as covered, 1 or more.
    """

    kinds = ("predicted",)
    quantities = ("mode_coverage", "class_entropy", f"{CLASS_SHARE}0")  # the shares of all classes have one description

    def __init__(self, classes: int, least: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.least = classes, least

    def update(self, predicted: Tensor) -> None:
        """Add the predicted classes (n,) of a batch of generated samples."""
        self.keep("predicted", predicted)

    def compute(self) -> dict[str, Tensor]:
        """Return mode coverage, class entropy and the shares by name."""
        predicted, classes = self.kept("predicted").long().flatten(), torch.arange(self.classes, device=self.device)
        summary = {
            "mode_coverage": torch.tensor(mode_coverage(predicted, classes, self.least), device=self.device),
            "class_entropy": torch.tensor(class_entropy(predicted), device=self.device),
        }
        shares = class_counts(predicted, classes) / len(predicted)
        return summary | {f"{CLASS_SHARE}{k}": share for k, share in enumerate(shares)}


class CLIPScore(AccumulatedRows):
    """Compute `clip_score` of all pairs.

    >>> metric = CLIPScore()
    >>> metric(torch.eye(2), torch.eye(2)[[0, 0]])
    tensor(50.)
    """

    kinds = ("images", "texts")
    quantities = ("clip_score",)

    def update(self, features: Tensor, texts: Tensor) -> None:
        """Add the embeddings of a batch of images (n, d) and of their captions (n, d)."""
        self.keep("images", features)
        self.keep("texts", texts)

    def compute(self) -> Tensor:
        """Return the mean score of all pairs so far."""
        return torch.tensor(clip_score(self.kept("images"), self.kept("texts")), device=self.device)
