"""Embed pictures and captions in one space, by CLIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from collapse_lab.features.frozen import untold
from collapse_lab.features.pretrained import PretrainedImages
from collapse_lab.types import FeatureSet, Rows, Samples


@dataclass(eq=False)
class Clip(PretrainedImages):
    """Compute phi(x) = W_i f(x) / |W_i f(x)|, CLIP's projected image embedding (n, d); d is 512 for ViT-B/32.

    Where samples have captions, `texts` are W_t g(caption) / |W_t g(caption)|, so their product with `values` is the
    cosine of picture and caption. Values lie in [-1, 1], and each row has norm 1.

    Args:
        name: the name in messages and in the fingerprint.

    Source: arXiv:2103.00020.
    """

    architecture: ClassVar[str] = "CLIPModel"
    reads: ClassVar[tuple[str, ...]] = ("AutoImageProcessor", "AutoTokenizer")
    kind: ClassVar[str | None] = "clip"
    example: ClassVar[str] = "openai/clip-vit-base-patch32"
    provides: ClassVar[frozenset[str]] = frozenset({"texts"})

    _: KW_ONLY
    name: str = "clip"

    def embed(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Return the projected embeddings, of norm 1."""
        projected: Tensor = self._network.get_image_features(pixel_values=images, return_dict=True).pooler_output
        return normalize(projected, dim=1)

    def extract(self, samples: Samples[Rows], advance: Callable[[int], None] = untold) -> FeatureSet:
        """Return phi of `samples`, and the embeddings of their captions if they have any."""
        features = super().extract(samples, advance)
        if not samples.captions.table:
            return features
        used, index = np.unique(samples.captions.index, return_inverse=True)
        texts = self.embed_texts([samples.captions.table[i] for i in used])
        return replace(features, texts=texts[torch.from_numpy(index)])

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> Float[Tensor, "n d"]:
        """Return the projected embeddings of texts, of norm 1; each text is cut off at the model's length."""
        longest = self._network.config.text_config.max_position_embeddings
        projected = []
        for start in range(0, len(texts), self.batch_size):
            batch = texts[start : start + self.batch_size]
            tokens = self._tokenizer(
                batch, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
            ).to(self.device)
            features = self._network.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], return_dict=True
            )
            projected.append(normalize(features.pooler_output, dim=1).cpu())
        return torch.cat(projected)

    @cached_property
    def _tokenizer(self) -> Any:
        return self._folder.read("AutoTokenizer")
