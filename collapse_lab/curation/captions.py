"""Drop the generated images that show least of what their prompts say."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch.nn.functional import cosine_similarity

from collapse_lab.curation.dropping import DropLowest
from collapse_lab.errors import UserError
from collapse_lab.types import Conditions, Extractor, ProperShare, Samples


class DropUnlike(DropLowest):
    """Drop the images of lowest cos(φ(x), ψ(prompt)) of each (label, caption), as `DropLowest` says.

    φ and ψ embed pictures and texts in one space, as CLIP does. This is the order of the CLIP score.

    Args:
        fraction: the share of the images of each condition to drop, in [0, 1).
        oversample: whether as many more images are sampled as are dropped.
        features: the feature space, which embeds captions too. No metric may be computed in it, because images would
            then be chosen by what they are judged by.

    Raises:
        UserError: a row has no caption, or what `DropLowest` raises.

    Source: Hessel et al., arXiv:2104.08718 (the score).
    """

    version: ClassVar[int] = 1

    def __init__(self, fraction: ProperShare = 0.2, oversample: bool = False, features: str = "clip") -> None:
        super().__init__(fraction, oversample)
        self.scores_in = features

    def check(self, asked: Conditions | Samples) -> None:
        """Refuse rows without a caption."""
        if len(asked.labels) and not asked.captions.table:
            raise UserError(
                "curation=drop_unlike compares images with their prompts, and these prompt sets have no texts; give "
                "prompts of texts, or curation=drop_worst"
            )

    def scores(self, generated: Samples, scorer: Extractor | None) -> np.ndarray:
        """Return the cosine of each image and its prompt."""
        features = None if scorer is None else scorer.extract(generated)
        if features is None or features.texts is None:
            raise UserError(
                f"curation=drop_unlike needs features that embed captions, and '{self.scores_in}' are none that do; "
                "give curation.features=clip and features=[…,clip]"
            )
        cosines: np.ndarray = cosine_similarity(features.values.double(), features.texts.double()).numpy()
        return cosines
