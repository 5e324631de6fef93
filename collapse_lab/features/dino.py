"""Embed pictures by DINO: vision transformers trained without labels."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.features.pretrained import PretrainedImages


@dataclass(eq=False)
class Dino(PretrainedImages):
    """Compute phi(x), the normalised output (n, d) of a vision transformer at its class token; d is 768 for ViT-B/14.

    Distances between these features follow human judgement of generated images better than Inception's.

    Args:
        name: the name in messages and in the fingerprint.

    Source: DINO arXiv:2104.14294, DINOv2 arXiv:2304.07193; as features of metrics arXiv:2306.04675.
    """

    example: ClassVar[str] = "facebook/dinov2-base"

    _: KW_ONLY
    name: str = "dino"

    def embed(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Return the last hidden state of the first token."""
        states: Tensor = self._network(pixel_values=images, return_dict=True).last_hidden_state
        if states.ndim != 3:
            raise UserError(
                f"features '{self.name}' need a vision transformer, and {type(self._network).__name__} in "
                f"{self.pretrained} has no class token: give a model such as {self.example}"
            )
        return states[:, 0]
