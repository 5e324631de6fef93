"""Measure whether images show what their captions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.metrics.validation import validated_float64
from collapse_lab.types import Estimate, FeatureSet, Resamplings, Split


def _scores(images: Float[Tensor, "n d"], texts: Float[Tensor, "m e"]) -> Float[Tensor, " n"]:
    images, texts = validated_float64(images, texts)
    if len(images) != len(texts):
        raise UserError(f"{len(texts)} embedded captions were given for {len(images)} images: give one for each")
    return 100 * torch.nn.functional.cosine_similarity(images, texts).clamp(min=0)


def clip_score(images: Float[Tensor, "n d"], texts: Float[Tensor, "m e"]) -> float:
    """Return the mean over i of 100 max(cos(image_i, text_i), 0), of embeddings in one space.

    The weight is 100, as in torchmetrics; the paper's weight is 2.5. torchmetrics clips the mean at 0 and not each
    cosine. The two agree where no cosine is negative, and hardly any cosine of CLIP's embeddings is.

    Args:
        images: embeddings of n images (n, d).
        texts: embeddings of their captions (n, d), one for each image.

    Returns:
        A score in [0, 100]; an embedding of zeros scores 0.

    Raises:
        UserError: as `validated`, or the numbers of images and captions differ.

    Source: Hessel et al., arXiv:2104.08718.
    """
    return float(_scores(images, texts).mean())


@dataclass
class CLIPScore:
    """Measure `clip_score` of generated features and the embeddings of their captions.

    The result is empty where there are no captions. Its floor is an upper limit: the score of held-out real rows
    with their own captions.

    Args:
        features: names of the feature spaces to compute it in; None means all of them.
        bootstrap: the number of resamplings for the interval; below 2 there is none.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    against: ClassVar[Split] = "reference"
    needs: ClassVar[str] = "texts"
    features: Sequence[str] | None = None
    bootstrap: Resamplings = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `clip_score`, or nothing where there are no captions."""
        del real  # the captions are the reference
        if generated.texts is None:
            return {}
        scores = _scores(generated.values, generated.texts)
        return {"clip_score": around(float(scores.mean()), [scores], rng, self.bootstrap, low=0.0, high=100.0)}
