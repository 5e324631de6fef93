"""LeNet's features, trained once per data set."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from collapse_lab.features.network import FeatureNetwork
from collapse_lab.features.trained import TrainedClassifier

SIDE = 32


@dataclass(eq=False)
class LeNet(TrainedClassifier):
    """phi(x), the penultimate layer (n, 84) of LeNet-5, a classifier of the data set's classes.

    The features of the Fréchet distances on MNIST in arXiv:2307.01850. They lie next to the logits, where the variety
    within a class is small (`Network` says why): for comparison with that paper, and `classifier` for the rest.

    Range: [0, inf).
    Source: LeCun et al. (1998), Gradient-based learning applied to document recognition, with ReLU and max pooling.
    """

    resize: ClassVar[str | None] = f"bilinear, antialiased, to {SIDE}x{SIDE}"

    _: KW_ONLY
    steps: int = 1000
    lr: float = 2e-3
    name: str = "lenet"

    def untrained(self, shape: tuple[int, int, int], classes: int) -> FeatureNetwork:
        """LeNet-5 for images of any size."""
        return LeNet5(shape[0], classes)


class LeNet5(FeatureNetwork):
    """Two 5x5 convolutions, each halved, and layers of 120, 84 and as many units as there are classes."""

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
        """The layer before the logits."""
        if images.shape[2:] != (SIDE, SIDE):
            images = nn.functional.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        return super().embed(images)
