"""Use the pixels themselves as features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.nn.spans import spans
from collapse_lab.types import Count, FeatureSet, Rows, Samples, Spec

ROWS = 1024  # images that are converted together


class Pixels:
    """Compute phi(x) = (x + 1) / 2, flattened: (n, c·h·w), or (n, c·size·size) after mean pooling to size x size.

    Values lie in [0, 1] for images in [-1, 1] or uint8.

    Args:
        spec: the data set, of images (c, h, w).
        size: the side of the pooled images, from 1 to the shorter side of the images; None does not pool.
        name: the name in messages and in the fingerprint.

    Raises:
        UserError: the data are no images, or `size` exceeds their sides.
    """

    version: ClassVar[int] = 1
    gathers: ClassVar[bool] = True

    def __init__(self, spec: Spec, *, size: Count | None = None, name: str = "pixels") -> None:
        if spec.modality != "image" or len(spec.shape) != 3:
            raise UserError(
                f"features '{name}' are of images (c, h, w), not of {spec.modality} {spec.shape}; leave "
                f"{name} out of features=[…]"
            )
        if size is not None and not 1 <= size <= min(spec.shape[1:]):
            raise UserError(
                f"features '{name}': size {size} lies outside 1 … {min(spec.shape[1:])}, the sides of the images"
            )
        self.spec = spec
        self.size = size
        self.name = name

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that the values depend on."""
        channels, height, width = self.spec.shape
        shape = [channels, height, width] if self.size is None else [channels, self.size, self.size]
        return {
            "extractor": self.name,
            "version": self.version,
            "weights": None,
            "resize": None if self.size is None else f"mean pool to {self.size}",
            "dtype": "float32",
            "shape": shape,
        }

    @torch.inference_mode()
    def extract(self, samples: Samples[Rows]) -> FeatureSet:
        """Return the pixels of `samples`, one row each.

        Raises:
            UserError: images of another shape than the data set's.
        """
        shape = tuple(samples.data.shape[1:])
        if shape != self.spec.shape:
            raise UserError(f"features '{self.name}' expect images {self.spec.shape}, not {shape}")
        channels, height, width = shape if self.size is None else (shape[0], self.size, self.size)
        # Because floats take four times the memory of bytes, fill the features batch by batch
        values = torch.empty(len(samples), channels * height * width)
        for span in spans(len(samples), ROWS):
            images = (as_float(samples.data[span]) + 1) / 2
            if self.size is not None:
                images = torch.nn.functional.adaptive_avg_pool2d(images, self.size)
            values[span] = images.flatten(1)
        return FeatureSet(values, torch.from_numpy(samples.labels))
