"""The pixels themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.types import FeatureSet, Samples, Spec


class Pixels:
    """phi(x) = (x + 1) / 2, flattened: (n, c·h·w), or (n, c·size·size) after mean pooling to size x size.

    Range: [0, 1] for images in [-1, 1] or uint8.
    Raises: UserError where the data are no images, or `size` exceeds their sides.
    """

    version: ClassVar[int] = 1

    def __init__(self, spec: Spec, *, size: int | None = None, name: str = "pixels") -> None:
        if spec.modality != "image" or len(spec.shape) != 3:
            raise UserError(f"features '{name}' are of images (c, h, w), not of {spec.modality} {spec.shape}")
        if size is not None and not 1 <= size <= min(spec.shape[1:]):
            raise UserError(f"features '{name}': size {size} lies outside 1 … {min(spec.shape[1:])}")
        self.spec = spec
        self.size = size
        self.name = name

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What the values depend on."""
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
    def extract(self, samples: Samples) -> FeatureSet:
        """The pixels of `samples`, one row each."""
        images = (as_float(samples.data) + 1) / 2
        if tuple(images.shape[1:]) != self.spec.shape:
            raise UserError(f"features '{self.name}' expect images {self.spec.shape}, not {tuple(images.shape[1:])}")
        if self.size is not None:
            images = torch.nn.functional.adaptive_avg_pool2d(images, self.size)
        return FeatureSet(images.flatten(1), torch.from_numpy(samples.labels))
