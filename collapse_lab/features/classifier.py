"""A classifier's features, trained once per data set."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from collapse_lab.features.network import Network
from collapse_lab.features.trained import TrainedClassifier


@dataclass(eq=False)
class Classifier(TrainedClassifier):
    """phi(x), the pooled maps (n, d) of a small convolutional classifier of the data set's classes.

    `Network` says which layer, and why; d is 128 for images of 8x8 at width 16.
    """

    sizes: ClassVar[tuple[str, ...]] = ("width", "hidden", "steps", "batch_size")

    _: KW_ONLY
    width: int = 16
    hidden: int = 64

    def untrained(self, shape: tuple[int, int, int], classes: int) -> Network:
        """Blocks of 3x3 convolutions."""
        return Network(shape, classes, self.width, self.hidden)
