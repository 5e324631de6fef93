"""The features of a small classifier, which is trained once per data set."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from collapse_lab.features.network import Network
from collapse_lab.features.trained import TrainedClassifier
from collapse_lab.types import Width


@dataclass(eq=False)
class Classifier(TrainedClassifier):
    """phi(x), the pooled maps (n, d) of a small convolutional classifier of the data set's classes.

    `Network` explains the choice of the layer; d is 128 for images of 8x8 at width 16.

    Args:
        spec: The data set, of images with classes.
        width: The channels of the first block of convolutions.
        hidden: The size of the layer before the logits.
        steps: The number of training steps.
        batch_size: The number of rows of a training batch.
        lr: The largest learning rate of the one-cycle schedule; above 0.
        seed: The seed of the weights, the batches and the augmentation.
        device: Where the network is trained and used.
        name: The name in messages and in the fingerprint.

    Raises:
        UserError: the data set has no classes, or its samples are no images.
    """

    _: KW_ONLY
    width: Width = 16
    hidden: Width = 64

    def untrained(self, shape: tuple[int, int, int], classes: int) -> Network:
        """Return a network of 3x3 convolutions with fresh weights, for images of a shape (c, h, w)."""
        return Network(shape, classes, self.width, self.hidden)
