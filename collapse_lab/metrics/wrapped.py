"""The metrics as `torchmetrics.Metric`, for training and evaluation loops of one's own.

`update` takes batches of features, and `compute` gives what the function of the same arguments gives of all rows so
far. A comparison needs rows of both kinds before it can be computed, so that calling such a metric on a batch, which
computes it on the batch alone, is refused.

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

from collapse_lab.metrics.accumulated import Comparison, Rows, Variety
from collapse_lab.metrics.classes import class_counts, class_entropy, mode_coverage
from collapse_lab.metrics.clip_score import clip_score
from collapse_lab.metrics.cmmd import cmmd
from collapse_lab.metrics.diversity import pairwise_distance
from collapse_lab.metrics.fd_infinity import fd_infinity
from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.memorisation import memorisation
from collapse_lab.metrics.prdc import prdc
from collapse_lab.metrics.vendi import vendi_score


class FID(Comparison):
    """`frechet_distance` of all rows.

    >>> metric = FID()
    >>> metric.update(torch.tensor([[0.0], [2.0]]), real=True)
    >>> metric.update(torch.tensor([[3.0], [5.0]]), real=False)
    >>> metric.compute()
    tensor(9.)
    """

    higher_is_better = False

    def compare(self, generated: Tensor, real: Tensor) -> float:
        return frechet_distance(generated, real)


class FDInfinity(Comparison):
    """`fd_infinity` of all rows, cut into blocks at random from `seed`.

    >>> metric = FDInfinity(blocks=2)
    >>> metric.update(torch.arange(8.0)[:, None], real=True)
    >>> metric.update(torch.arange(8.0)[:, None], real=False)
    >>> bool(metric.compute() <= 0)
    True
    """

    higher_is_better = False

    def __init__(self, blocks: int = 3, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks, self.seed = blocks, seed

    def compare(self, generated: Tensor, real: Tensor) -> float:
        return fd_infinity(generated, real, np.random.default_rng(self.seed), self.blocks)


class KID(Comparison):
    """`kernel_distance` of all rows.

    >>> metric = KID()
    >>> metric.update(torch.tensor([[0.0], [1.0]]), real=True)
    >>> metric.update(torch.tensor([[0.0], [1.0]]), real=False)
    >>> metric.compute()
    tensor(-3.5000)
    """

    higher_is_better = False

    def compare(self, generated: Tensor, real: Tensor) -> float:
        return kernel_distance(generated, real)


class CMMD(Comparison):
    """`cmmd` of all rows.

    >>> metric = CMMD(sigma=1.0)
    >>> metric.update(torch.eye(2)[[0, 0]], real=True)
    >>> metric.update(torch.eye(2)[[1, 1]], real=False)
    >>> metric.compute()  # 2000 (1 - 1/e)
    tensor(1264.2411)
    """

    higher_is_better = False

    def __init__(self, sigma: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sigma = sigma

    def compare(self, generated: Tensor, real: Tensor) -> float:
        return cmmd(generated, real, self.sigma)


class PRDC(Comparison):
    """`prdc` of all rows.

    >>> metric = PRDC(k=1)
    >>> metric.update(torch.arange(4.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[0.0], [0.5], [9.0]]), real=False)
    >>> {name: round(float(value), 2) for name, value in sorted(metric.compute().items())}
    {'coverage': 0.5, 'density': 1.33, 'precision': 0.67, 'recall': 1.0}
    """

    higher_is_better = True

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def compare(self, generated: Tensor, real: Tensor) -> Mapping[str, float]:
        return prdc(generated, real, self.k)


class Memorisation(Comparison):
    """`memorisation` of all rows; the real ones are the training rows.

    >>> metric = Memorisation()
    >>> metric.update(torch.arange(4.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[0.0], [1.1], [1.5], [9.0]]), real=False)
    >>> {name: float(value) for name, value in metric.compute().items()}
    {'authenticity': 0.25, 'near_copies': 0.5}
    """

    def compare(self, generated: Tensor, real: Tensor) -> Mapping[str, float]:
        return memorisation(generated, real)


class Vendi(Variety):
    """`vendi_score` of all generated rows.

    >>> metric = Vendi()
    >>> metric(torch.eye(3))
    tensor(3.)
    """

    higher_is_better = True

    def __init__(self, q: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.q = q

    def score(self, generated: Tensor) -> float:
        return vendi_score(generated, self.q)


class PairwiseDistance(Variety):
    """`pairwise_distance` of all generated rows.

    >>> metric = PairwiseDistance()
    >>> metric(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor(5.)
    """

    higher_is_better = True

    def __init__(self, distance: str = "euclidean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = distance

    def score(self, generated: Tensor) -> float:
        return pairwise_distance(generated, self.distance)


class Classes(Rows):
    """`mode_coverage`, `class_entropy` and the share of each of `classes` classes, of all predicted classes.

    >>> metric = Classes(classes=3)
    >>> {name: round(float(value), 3) for name, value in metric(torch.tensor([0, 0, 1, 1])).items()}
    {'mode_coverage': 0.667, 'class_entropy': 0.693, 'class_share_0': 0.5, 'class_share_1': 0.5, 'class_share_2': 0.0}
    """

    kinds = ("predicted",)

    def __init__(self, classes: int, least: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.least = classes, least

    def update(self, predicted: Tensor) -> None:
        """The classes (n,) that a batch of generated samples is read as."""
        self.keep("predicted", predicted)

    def compute(self) -> dict[str, Tensor]:
        """All three by name."""
        predicted, every = self.kept("predicted").long().flatten(), torch.arange(self.classes, device=self.device)
        found = {
            "mode_coverage": torch.tensor(mode_coverage(predicted, every, self.least), device=self.device),
            "class_entropy": torch.tensor(class_entropy(predicted), device=self.device),
        }
        shares = class_counts(predicted, every) / len(predicted)
        return found | {f"class_share_{k}": share for k, share in enumerate(shares)}


class CLIPScore(Rows):
    """`clip_score` of all pairs.

    >>> metric = CLIPScore()
    >>> metric(torch.eye(2), torch.eye(2)[[0, 0]])
    tensor(50.)
    """

    higher_is_better = True
    kinds = ("images", "texts")

    def update(self, features: Tensor, texts: Tensor) -> None:
        """Embeddings of a batch of images (n, d) and of their captions (n, d)."""
        self.keep("images", features)
        self.keep("texts", texts)

    def compute(self) -> Tensor:
        """The mean score of all pairs so far."""
        return torch.tensor(clip_score(self.kept("images"), self.kept("texts")), device=self.device)
