"""The networks that are trained here for their features: what they share, and the classifier's own network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(min(8, outputs), outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(min(8, outputs), outputs),
        nn.SiLU(),
    )


class FeatureNetwork(nn.Module):
    """logits = head(phi(x)).

    Attributes:
        body: phi.
        head: The layers from phi(x) to the logits.
        features: d, the length of phi(x).
    """

    body: nn.Module
    head: nn.Module
    features: int

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return phi(x) of images in [-1, 1]."""
        values: Tensor = self.body(images)
        return values

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return the logits of images in [-1, 1]."""
        logits: Tensor = self.head(self.embed(images))
        return logits


class Network(FeatureNetwork):
    """logits = head(phi(x)), phi being blocks of two 3x3 convolutions, halved between until a side is 4 or less.

    `embed` returns phi, the body's maps pooled to 2x2 and flattened (n, features), and not the layer behind it: a
    layer next to the logits of ten classes gathers each class in a point once the loss is low (neural collapse,
    arXiv:2008.08186), and a distance between such features hardly changes when a generator loses the variety within
    its classes. The normalisation is by groups, so a row's features do not depend on the other rows of its batch.

    Args:
        shape: The shape (c, h, w) of an image.
        classes: The number of classes.
        width: The channels of the first block. Each further block doubles them, up to four times `width`.
        hidden: The size of the layer between phi and the logits.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, hidden: int) -> None:
        super().__init__()
        channels, height, width_ = shape
        layers: list[nn.Module] = [_block(channels, width)]
        side, planes = min(height, width_), width
        while side > 4:
            layers += [nn.MaxPool2d(2), _block(planes, min(2 * planes, 4 * width))]
            side, planes = side // 2, min(2 * planes, 4 * width)
        pooled = max(1, min(side, 2))
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(pooled), nn.Flatten())
        self.features = planes * pooled**2
        self.head = nn.Sequential(nn.Linear(self.features, hidden), nn.SiLU(), nn.Linear(hidden, classes))


def jittered(images: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Return images that are shifted, rotated and scaled a little, each at random, with faint noise added.

    The augmentation keeps the network from memorising its training rows: features of training rows and of held-out
    rows should differ no more than those of two held-out sets.

    Args:
        images: Images in [-1, 1].
        generator: The generator of all random numbers, on the CPU.
    """
    n = len(images)
    draw = torch.rand(n, 4, generator=generator) * 2 - 1
    angle, zoom = draw[:, 0] * 0.17, 1 + draw[:, 1] * 0.1
    matrix = torch.stack(
        [
            torch.stack([zoom * angle.cos(), -zoom * angle.sin(), draw[:, 2] * 0.15], 1),
            torch.stack([zoom * angle.sin(), zoom * angle.cos(), draw[:, 3] * 0.15], 1),
        ],
        1,
    )
    flow = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(images, flow, padding_mode="border", align_corners=False)
    return moved + 0.05 * torch.randn(images.shape, generator=generator)
