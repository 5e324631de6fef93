"""The features of LeNet-5, which is trained once per data set."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from collapse_lab.features.network import FeatureNetwork
from collapse_lab.features.trained import TrainedClassifier
from collapse_lab.types import Count, Positive

SIDE = 32  # pixels, to which every image is resized


@dataclass(eq=False)
class LeNet(TrainedClassifier):
    """phi(x), the penultimate layer (n, 84) of LeNet-5, a classifier of the data set's classes.

    The Fréchet distances on MNIST in arXiv:2307.01850 are of these features. They lie next to the logits, where the
    variety within a class is small (`Network` explains why), so use them for comparison with that paper only, and
    `classifier` otherwise.

    Range: [0, inf).
    Source: LeCun et al. (1998), Gradient-based learning applied to document recognition, with ReLU and max pooling.

    Args:
        spec: The data set, of images with classes.
        steps: The number of training steps.
        batch_size: The number of rows of a training batch.
        lr: The largest learning rate of the one-cycle schedule; above 0.
        seed: The seed of the weights, the batches and the augmentation.
        device: Where the network is trained and used.
        name: The name in messages and in the fingerprint.

    Raises:
        UserError: the data set has no classes, or its samples are no images.
    """

    resize: ClassVar[str | None] = f"bilinear, antialiased, to {SIDE}x{SIDE}"

    _: KW_ONLY
    steps: Count = 1000
    lr: Positive = 2e-3
    name: str = "lenet"

    def untrained(self, shape: tuple[int, int, int], classes: int) -> FeatureNetwork:
        """Return LeNet-5 with fresh weights, for images of any size."""
        return LeNet5(shape[0], classes)


class LeNet5(FeatureNetwork):
    """logits = head(phi(x)), phi being two 5x5 convolutions, each halved, and layers of 120 and 84 units.

    Args:
        channels: The channels of an image.
        classes: The number of classes, which is the number of logits.
    """

    features = 84

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, self.features), nn.ReLU()),
        )
        self.head = nn.Linear(self.features, classes)

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the layer before the logits, (n, 84), of images in [-1, 1]."""
        if images.shape[2:] != (SIDE, SIDE):
            images = nn.functional.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        return super().embed(images)
