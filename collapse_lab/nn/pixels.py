"""How a diffusion model sees pixels: their range, mirrored rows, and whether samples are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.images import as_float, as_uint8


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Convert rows into what a network is trained on, x' = low + (high - low) (x + 1) / 2, and samples back.

    Args:
        range: The values [low, high] of black and white inside the network. [-1, 1] is usual; the MNIST study of
            arXiv:2306.06130 has [0, 1].
        mirrored: Whether each row of a batch is mirrored left to right with probability 1/2, as in that paper's study
            of flowers and birds.
        stored: The form of samples. `uint8` rounds and clamps to [0, 255], as a published picture does. `float32`
            keeps samples as the sampler leaves them, neither rounded nor clamped.

    Raises:
        UserError: `range` is not two numbers, the second above the first.
    """

    version: ClassVar[int] = 1

    range: Sequence[float] = (-1.0, 1.0)
    mirrored: bool = False
    stored: Literal["uint8", "float32"] = "uint8"

    def __post_init__(self) -> None:
        if len(self.range) != 2 or not self.range[0] < self.range[1]:
            raise UserError(
                f"model.pixels.range is [low, high] with low below high, such as [0, 1]; got {list(self.range)}"
            )

    def seen(self, rows: Shaped[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
        """Return rows as the network is trained on them.

        Args:
            rows: Images (n, c, h, w), uint8 or floating-point in [-1, 1].
            generator: The generator of the mirroring; nothing is drawn from it unless `mirrored` is set.
        """
        x = self.scaled(rows)
        if self.mirrored:
            chosen = torch.rand(len(x), generator=generator) < 0.5
            x = torch.where(chosen[:, None, None, None], x.flip(-1), x)
        return x

    def scaled(self, rows: Shaped[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return images (n, c, h, w), uint8 or in [-1, 1], in the network's range."""
        low, high = self.range
        x = as_float(rows)
        return x if (low, high) == (-1, 1) else low + (high - low) * (x + 1) / 2

    def published(self, x: Float[Tensor, "n c h w"]) -> Shaped[Tensor, "n c h w"]:
        """Return samples in the network's range as they are kept: uint8, or float32 with black at -1 and white at 1."""
        low, high = self.range
        images = x if (low, high) == (-1, 1) else 2 * (x - low) / (high - low) - 1
        return as_uint8(images) if self.stored == "uint8" else images


def not_finite(images: Tensor) -> int:
    """Return how many of the images (n, …) hold NaN or infinity."""
    return 0 if images.isfinite().all() else int((~images.isfinite()).flatten(1).any(1).sum())
