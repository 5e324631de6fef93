"""Whether images are of what their captions say."""

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
from collapse_lab.metrics.pairs import checked
from collapse_lab.types import Estimate, FeatureSet, Split


def _scores(images: Float[Tensor, "n d"], texts: Float[Tensor, "m e"]) -> Float[Tensor, " n"]:
    images, texts = checked(images, texts)
    if len(images) != len(texts):
        raise UserError(f"{len(texts)} embedded captions were given for {len(images)} images: give one for each")
    return 100 * torch.nn.functional.cosine_similarity(images, texts).clamp(min=0)


def clip_score(images: Float[Tensor, "n d"], texts: Float[Tensor, "m e"]) -> float:
    """Mean over i of 100 max(cos(image_i, text_i), 0), of embeddings in one space, one caption for each image.

    The paper's weight is 2.5, and torchmetrics' 100, which is taken here. torchmetrics clips the mean at 0 and not
    each cosine; the two agree where no cosine is negative, which of CLIP's embeddings hardly any is.

    Range: [0, 100]; an embedding of zeros scores 0.
    Raises: UserError as `checked`, and for unequally many images and captions.
    Source: Hessel et al., arXiv:2104.08718.
    """
    return float(_scores(images, texts).mean())


@dataclass
class CLIPScore:
    """clip_score of generated features and the embeddings of their captions; empty where there are none.

    Its floor is a ceiling: the score of held-out real rows with their own captions.
    """

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: Sequence[str] | None = None
    bootstrap: int = 200

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """`clip_score`, or nothing."""
        del real  # the captions are the reference
        if generated.texts is None:
            return {}
        scores = _scores(generated.values, generated.texts)
        return {"clip_score": around(float(scores.mean()), [scores], rng, self.bootstrap, low=0.0, high=100.0)}
